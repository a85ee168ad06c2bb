package cli

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// pitfalls are numbered from 1: what went wrong in systems like this one.
const pitfalls = 31

// TestEveryPitfallHasATest looks for the number of each in the names of tests
// and subtests, whatever they are built for.
func TestEveryPitfallHasATest(t *testing.T) {
	named := regexp.MustCompile(`^TestPitfall([0-9]+(?:And[0-9]+)*)[A-Z]`)
	tested := map[int]bool{}
	for _, dir := range []string{"pkg", "internal", "cmd", "deploy", "e2e", "tasks"} {
		walk(t, filepath.Join(repository, dir), ".go", func(path string) {
			if !strings.HasSuffix(path, "_test.go") {
				return
			}
			for _, name := range testNames(t, path) {
				match := named.FindStringSubmatch(name)
				if match == nil {
					continue
				}
				for _, number := range strings.Split(match[1], "And") {
					n, err := strconv.Atoi(number)
					if err != nil || n < 1 || n > pitfalls {
						t.Errorf("%s: %s is of no pitfall", path, name)
					}
					tested[n] = true
				}
			}
		})
	}
	for n := 1; n <= pitfalls; n++ {
		if !tested[n] {
			t.Errorf("pitfall %d has no test", n)
		}
	}
}

// testNames are the tests of a file, and what may be names of subtests: the
// strings that begin as a test's name does.
func testNames(t *testing.T, path string) []string {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			names = append(names, n.Name.Name)
		case *ast.BasicLit:
			if n.Kind == token.STRING {
				names = append(names, unquote(t, n))
			}
		}
		return true
	})
	return names
}
