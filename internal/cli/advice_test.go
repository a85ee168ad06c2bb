package cli

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestPitfall25AdviceNamesCommandsThatExist resolves every openshell command
// that a string of the program or a page of the documentation names.
func TestPitfall25AdviceNamesCommandsThatExist(t *testing.T) {
	advice := map[string]string{} // command line -> where
	for _, dir := range []string{"pkg", "internal", "cmd", "deploy"} {
		walk(t, filepath.Join(repository, dir), ".go", func(path string) {
			for _, text := range literals(t, path) {
				for _, line := range quotedCommands(text) {
					advice[line] = path
				}
				if strings.HasPrefix(text, "openshell gateway ") {
					advice[text] = path
				}
			}
		})
	}
	for _, dir := range []string{"deploy", "tasks"} {
		walk(t, filepath.Join(repository, dir), ".sh", func(path string) {
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, line := range quotedCommands(strings.ReplaceAll(string(content), "\\`", "`")) {
				advice[line] = path
			}
		})
	}
	pages := []string{filepath.Join(repository, "README.md")}
	walk(t, filepath.Join(repository, "docs"), ".md", func(path string) { pages = append(pages, path) })
	for _, page := range pages {
		content, err := os.ReadFile(page)
		if os.IsNotExist(err) {
			continue // not every page is written at once
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range quotedCommands(string(content)) {
			advice[line] = page
		}
	}
	if len(advice) < 20 {
		t.Fatalf("only %d commands found: is the search broken?", len(advice))
	}
	for line, where := range advice {
		if problem := resolves(line); problem != "" {
			t.Errorf("%s: `%s`: %s", where, line, problem)
		}
	}
}

// destructive commands take away what cannot be had again.
var destructive = regexp.MustCompile("gateway destroy|--recreate|gateway reset|--yes|prune|sandbox delete|container rm|(docker|volume|image|network) rm|rm -r")

// mayDestroy are the errors whose hints may name one, and why.
var mayDestroy = map[string]string{
	"StateDamaged": "what else there was has failed",
	"StateLost":    "there is nothing left to lose",
	"NeedsYes":     "the user asked for that very command",
	"NoSubnet":     "docker network prune takes networks that nothing uses",

	"ContainerExists": "another name, and bringing it back, are told before",
	"ContainerFailed": "its output is told before, where there is any",
	"Timeout":         "of a user container: its output is told before",
}

// TestPitfall25AdviceDestroysNothingUnlessNothingElseIsLeft reads the hints of
// every error from the calls that make it: a destructive one stands last.
func TestPitfall25AdviceDestroysNothingUnlessNothingElseIsLeft(t *testing.T) {
	found := 0
	for _, dir := range []string{"pkg", "internal", "cmd", "deploy"} {
		walk(t, filepath.Join(repository, dir), ".go", func(path string) {
			for _, hint := range hints(t, path) {
				if !destructive.MatchString(hint.text) {
					continue
				}
				found++
				if hint.id != "" && mayDestroy[hint.id] == "" {
					t.Errorf("%s: a hint of %s destroys: %s", path, hint.id, hint.text)
				}
				if !hint.last {
					t.Errorf("%s: a hint that destroys stands before another: %s", path, hint.text)
				}
			}
		})
	}
	if found < 5 {
		t.Fatalf("only %d such hints found: is the search broken?", found)
	}
}

// hint is one of an error; last, if the same chain of calls adds none behind it.
type hint struct {
	id, text string // id is empty where the error was made elsewhere
	last     bool
}

func hints(t *testing.T, path string) []hint {
	if strings.HasSuffix(path, "_test.go") {
		return nil
	}
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []hint
	inner := map[*ast.CallExpr]bool{} // calls on which another hint is added
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		method, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || method.Sel.Name != "Hint" || len(call.Args) == 0 {
			return true
		}
		last := !inner[call]
		var id string
		for on, ok := method.X.(*ast.CallExpr); ok; {
			if types.ExprString(on.Fun) == "fault.New" {
				id = strings.TrimPrefix(types.ExprString(on.Args[0]), "fault.")
				break
			}
			chain, isMethod := on.Fun.(*ast.SelectorExpr)
			if !isMethod {
				break
			}
			if chain.Sel.Name == "Hint" {
				inner[on] = true
			}
			on, ok = chain.X.(*ast.CallExpr)
		}
		if lit, ok := call.Args[0].(*ast.BasicLit); ok && lit.Kind == token.STRING {
			out = append(out, hint{id, unquote(t, lit), last})
		}
		return true
	})
	return out
}

func TestAdviceCheckFindsMistakes(t *testing.T) {
	for line, want := range map[string]bool{
		"openshell gateway start %s --port %d":       true,
		"openshell gateway start NAME --memory SIZE": true,
		"openshell gateway":                          true,
		"openshell gateway upgrade":                  false,
		"openshell gateway start --prot 1":           false,
		"openshell gateway start --port x":           false,
		"openshell launch":                           false,
		"openshell gateway select work play":         false,
		"openshell gateway restore NAME ASIDE":       true,
		"openshell gateway start --name $name":       true,
	} {
		if got := resolves(line) == ""; got != want {
			t.Errorf("%s resolves: %v", line, got)
		}
	}
}

func TestEveryCommandHasHelpWithExamples(t *testing.T) {
	var visit func(*cobra.Command)
	visit = func(cmd *cobra.Command) {
		if cmd.Short == "" || cmd.Example == "" {
			t.Errorf("%s lacks a description or examples", cmd.CommandPath())
		}
		for _, line := range strings.Split(cmd.Example, "\n") {
			line, _, _ = strings.Cut(strings.TrimSpace(line), "  ")
			line, _, _ = strings.Cut(line, " | ")
			line, _, _ = strings.Cut(line, " >")
			if strings.HasPrefix(line, "openshell ") {
				if problem := resolves(line); problem != "" {
					t.Errorf("example `%s`: %s", line, problem)
				}
			}
		}
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
	}
	deps := fakeDeps()
	visit(newRoot(&deps))
}

var (
	quoted      = regexp.MustCompile("`(openshell [^`]+)`")
	argument    = regexp.MustCompile(`\b[A-Z]{2,}\b`)
	placeholder = regexp.MustCompile(`^(%(\[\d\])?[sdqv]|\$[a-z_]+|[A-Z][A-Z_-]*)$`)
)

func quotedCommands(text string) []string {
	var lines []string
	for _, match := range quoted.FindAllStringSubmatch(text, -1) {
		line, _, _ := strings.Cut(strings.ReplaceAll(match[1], "\n", " "), " | ")
		lines = append(lines, line)
	}
	return lines
}

// resolves parses a command line as openshell would, without running it, and
// says what is wrong with it.
func resolves(line string) (problem string) {
	deps := fakeDeps()
	root := newRoot(&deps)
	cmd, rest, err := root.Find(strings.Fields(line)[1:])
	if err != nil {
		return err.Error()
	}
	if err := cmd.ParseFlags(fill(cmd, rest)); err != nil {
		return err.Error()
	}
	if cmd.HasSubCommands() && cmd.Flags().NArg() > 0 {
		return "unknown command " + cmd.Flags().Arg(0)
	}
	// The line of usage says how many arguments there may be.
	if takes := len(argument.FindAllString(cmd.Use, -1)); takes > 0 && !strings.Contains(cmd.Use, "...") && cmd.Flags().NArg() > takes {
		return fmt.Sprintf("%d arguments, where %s", cmd.Flags().NArg(), cmd.Use)
	}
	return ""
}

// fill puts acceptable values in the place of placeholders.
func fill(cmd *cobra.Command, args []string) []string {
	examples := map[string]string{"port": "8081", "address": "127.0.0.1", "size": "4g", "duration": "5m", "cores": "2", "lines": "10"}
	out := slices.Clone(args)
	var last *pflag.Flag
	for i, arg := range out {
		if arg == "--%s" {
			out[i], arg = "--name", "--name" // which flag it is shows at run time only
		}
		if placeholder.MatchString(arg) {
			out[i] = "work"
			if last != nil && examples[last.Value.Type()] != "" {
				out[i] = examples[last.Value.Type()]
			}
		}
		last = cmd.Flags().Lookup(strings.TrimPrefix(arg, "--"))
	}
	return out
}
