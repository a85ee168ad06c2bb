package cli

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const repository = "../.."

func TestTroubleshootingHasEveryID(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(repository, "pkg/fault/ids.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok {
			for _, value := range spec.Values {
				ids = append(ids, unquote(t, value))
			}
		}
		return true
	})
	page, err := os.ReadFile(filepath.Join(repository, "docs/troubleshooting.md"))
	if err != nil {
		t.Fatal(err)
	}
	var headings []string
	sections := strings.Split(string(page), "\n## ")
	for _, section := range sections[1:] {
		heading, text, _ := strings.Cut(section, "\n")
		headings = append(headings, heading)
		if len(strings.Fields(text)) < 10 {
			t.Errorf("section %s says next to nothing", heading)
		}
	}
	slices.Sort(ids)
	slices.Sort(headings)
	if diff := cmp.Diff(ids, headings); diff != "" {
		t.Errorf("ids and sections differ (-ids +sections):\n%s", diff)
	}
}

// TestPitfall25AdviceNamesCommandsThatExist resolves every openshell command
// that a string of the program or a page of the documentation names.
func TestPitfall25AdviceNamesCommandsThatExist(t *testing.T) {
	advice := map[string]string{} // command line -> where
	for _, dir := range []string{"pkg", "internal", "cmd"} {
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

func TestAdviceCheckFindsMistakes(t *testing.T) {
	for line, want := range map[string]bool{
		"openshell gateway start %s --port %d":       true,
		"openshell gateway start NAME --memory SIZE": true,
		"openshell gateway":                          true,
		"openshell gateway upgrade":                  false,
		"openshell gateway start --prot 1":           false,
		"openshell gateway start --port x":           false,
		"openshell launch":                           false,
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
			line, _, _ = strings.Cut(line, " > ")
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
	placeholder = regexp.MustCompile(`^(%[sdqv]|[A-Z][A-Z_-]*)$`)
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

// literals are the values of the string literals in a Go file that is no test.
func literals(t *testing.T, path string) []string {
	if strings.HasSuffix(path, "_test.go") {
		return nil
	}
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	ast.Inspect(file, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			texts = append(texts, unquote(t, lit))
		}
		return true
	})
	return texts
}

func unquote(t *testing.T, e ast.Expr) string {
	text, err := strconv.Unquote(e.(*ast.BasicLit).Value)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func walk(t *testing.T, dir, ext string, visit func(path string)) {
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && filepath.Ext(path) == ext {
			visit(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
