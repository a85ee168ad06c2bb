package petname

import (
	"regexp"
	"slices"
	"testing"
)

func TestWordsMakeNames(t *testing.T) {
	for name, words := range map[string][]string{"adjectives": adjectives(), "animals": animals()} {
		if !slices.IsSorted(words) || len(slices.Compact(slices.Clone(words))) != len(words) {
			t.Errorf("%s are not sorted, or one is there twice", name)
		}
		for _, word := range words {
			if !regexp.MustCompile(`^[a-z]{2,12}$`).MatchString(word) {
				t.Errorf("%q of the %s is not 2 to 12 lower-case letters", word, name)
			}
		}
		if len(words) < 100 {
			t.Errorf("%d %s are too few for names to differ", len(words), name)
		}
	}
}

func TestDrawsTwoWords(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		name := Draw()
		if !regexp.MustCompile(`^[a-z]+-[a-z]+$`).MatchString(name) {
			t.Errorf("Draw() = %q", name)
		}
		seen[name] = true
	}
	if len(seen) < 80 {
		t.Errorf("only %d of 100 names differ", len(seen))
	}
}
