package cli

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"openshell.ai/openshell/pkg/bootstrap/doctor"
	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/fault"
)

const repository = "../.."

func TestTroubleshootingHasEveryID(t *testing.T) {
	ids := constants(t, filepath.Join(repository, "pkg/fault/ids.go"), "ID")
	var headings []string
	for heading, text := range troubleshooting(t) {
		if !kebab.MatchString(heading) {
			continue
		}
		headings = append(headings, heading)
		if len(strings.Fields(text)) < 13 {
			t.Errorf("section %s says next to nothing", heading)
		}
	}
	slices.Sort(headings)
	if diff := cmp.Diff(slices.Sorted(maps.Values(ids)), headings); diff != "" {
		t.Errorf("ids and sections differ (-ids +sections):\n%s", diff)
	}
}

// A section begins with the exit codes with which the program raises its id,
// where a call says them outright.
func TestTroubleshootingAgreesOnExitCodes(t *testing.T) {
	ids := constants(t, filepath.Join(repository, "pkg/fault/ids.go"), "ID")
	exits := constants(t, filepath.Join(repository, "pkg/fault/fault.go"), "Exit")
	raised := map[string]map[string]bool{}
	for _, dir := range []string{"pkg", "internal", "cmd"} {
		walk(t, filepath.Join(repository, dir), ".go", func(path string) {
			calls(t, path, func(id, exit string) {
				if raised[ids[id]] == nil {
					raised[ids[id]] = map[string]bool{}
				}
				raised[ids[id]][exits[exit]] = true
			})
		})
	}
	if len(raised) < 30 {
		t.Fatalf("only %d ids are raised: is the search broken?", len(raised))
	}
	first := regexp.MustCompile(`^\s*Exit code (\d+(?: or \d+)*)\.\n`)
	for heading, text := range troubleshooting(t) {
		if !kebab.MatchString(heading) || heading == string(fault.ClockSkew) { // which ends nothing
			continue
		}
		said := first.FindStringSubmatch(text)
		if said == nil {
			t.Errorf("section %s does not begin with its exit codes", heading)
			continue
		}
		for code := range raised[heading] {
			if !slices.Contains(strings.Split(said[1], " or "), code) {
				t.Errorf("section %s says exit code %s, the program %s as well", heading, said[1], code)
			}
		}
	}
}

// The checks, and the verdicts of a node, stand in tables of their own.
func TestTroubleshootingHasEveryCheckAndFailure(t *testing.T) {
	ids := map[string]bool{}
	for _, c := range slices.Concat(doctor.Engine(docker.Info{}, time.Time{}), doctor.Host(doctor.Facts{})) {
		ids[c.ID] = true
	}
	for _, path := range []string{"pkg/bootstrap/check.go", "deploy/node/internal/health/checks.go"} {
		for name, id := range constants(t, filepath.Join(repository, path), "") {
			if kebab.MatchString(id) && name != "" {
				ids[id] = true
			}
		}
	}
	ids["node-endpoint"] = true // the node's view of the endpoint
	status, err := os.ReadFile(filepath.Join(repository, "pkg/bootstrap/status.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?:s\.check\(|Check\{ID: )"([a-z-]+)"`).FindAllStringSubmatch(string(status), -1) {
		ids[m[1]] = true
	}
	ids[string(fault.ClockSkew)] = true
	page := troubleshooting(t)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(ids)), rows(page["What openshell doctor check examines"])); diff != "" {
		t.Errorf("checks and their table differ (-checks +table):\n%s", diff)
	}
	failures := map[string]bool{}
	for name, id := range constants(t, filepath.Join(repository, "pkg/nodeapi/nodeapi.go"), "") {
		if strings.HasPrefix(name, "Failure") {
			failures[id] = true
		}
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(failures)), rows(page["What the node reports"])); diff != "" {
		t.Errorf("failures and their table differ (-failures +table):\n%s", diff)
	}
}

var kebab = regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`)

// troubleshooting are the sections of the page by their headings.
func troubleshooting(t *testing.T) map[string]string {
	page, err := os.ReadFile(filepath.Join(repository, "docs/troubleshooting.md"))
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	for _, section := range strings.Split(string(page), "\n## ")[1:] {
		heading, text, _ := strings.Cut(section, "\n")
		if _, twice := sections[heading]; twice {
			t.Errorf("there are two sections %s", heading)
		}
		sections[heading] = text
	}
	return sections
}

// rows are the names in the first column of a table, sorted.
func rows(section string) []string {
	var names []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\|").FindAllStringSubmatch(section, -1) {
		names = append(names, m[1])
	}
	slices.Sort(names)
	return names
}

// constants of a file that have a literal for a value, by name; of one type, or
// of any.
func constants(t *testing.T, path, typ string) map[string]string {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		if of, ok := spec.Type.(*ast.Ident); typ != "" && (!ok || of.Name != typ) {
			return true
		}
		switch value, _ := spec.Values[0].(*ast.BasicLit); {
		case value == nil:
		case value.Kind == token.STRING:
			found[spec.Names[0].Name] = unquote(t, value)
		default:
			found[spec.Names[0].Name] = value.Value
		}
		return true
	})
	return found
}

// calls visits every fault.New(fault.ID, fault.Exit, ...) of a Go file that is
// no test.
func calls(t *testing.T, path string, visit func(id, exit string)) {
	if strings.HasSuffix(path, "_test.go") {
		return
	}
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) < 2 || types.ExprString(call.Fun) != "fault.New" {
			return true
		}
		id, known := strings.CutPrefix(types.ExprString(call.Args[0]), "fault.")
		exit, said := strings.CutPrefix(types.ExprString(call.Args[1]), "fault.")
		if known && said {
			visit(id, exit)
		}
		return true
	})
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
