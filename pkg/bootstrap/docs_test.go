package bootstrap

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDocumentedStatesAgreeWithPlans compares the table of docs/state-machine.md
// with what the golden files say of a plain start and of --recreate.
func TestDocumentedStatesAgreeWithPlans(t *testing.T) {
	page, err := os.ReadFile("../../docs/state-machine.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("(?m)^\\| `([a-z]+)` \\|(?:[^|]*\\|){2} `([^`]+)`[^|]*\\| `([^`]+)`")
	documented := map[string][][2]string{} // a word may have several rows
	for _, m := range row.FindAllStringSubmatch(string(page), -1) {
		documented[m[1]] = append(documented[m[1]], [2]string{m[2], m[3]})
	}
	words := map[string]bool{}
	files, err := filepath.Glob("testdata/plans/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		if strings.HasPrefix(name, "rule-") {
			continue
		}
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		word, start := outcome(t, string(content), "plain")
		if word == "" { // a refusal does not say it
			word, _, _ = strings.Cut(name, "-")
		}
		words[word] = true
		_, recreate := outcome(t, string(content), "--recreate")
		want := [2]string{start, recreate}
		if !slices.Contains(documented[word], want) {
			t.Errorf("%s: the page says %q, the plans %q", name, documented[word], want)
		}
	}
	for word := range documented {
		if !words[word] {
			t.Errorf("the page has the word %q, which no plan is for", word)
		}
	}
}

// outcome is the word and the action of a plan in a golden file, or "exit N".
func outcome(t *testing.T, content, scene string) (word, action string) {
	t.Helper()
	_, section, _ := strings.Cut(content, "## "+scene+"\n")
	line, _, _ := strings.Cut(section, "\n")
	if refused := regexp.MustCompile(`^refused: [a-z-]+, (exit \d)`).FindStringSubmatch(line); refused != nil {
		return "", refused[1]
	}
	var name string
	if _, err := fmt.Sscanf(line, "gateway %s is %s %s", &name, &word, &action); err != nil {
		t.Fatalf("%s: %q: %v", scene, line, err)
	}
	return strings.TrimSuffix(word, ":"), action
}
