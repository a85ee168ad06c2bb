package gateway

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var (
	dockerName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]+$`)
	rfc1123    = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
)

func TestParseName(t *testing.T) {
	for _, good := range []string{"openshell", "a", "A.b_c-d", "0", strings.Repeat("x", 60)} {
		if _, err := ParseName(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", "-a", "a-", ".a", "a_", "a b", "a/b", "ä", "a\n", strings.Repeat("x", 61)} {
		if _, err := ParseName(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestPitfall21NamesAreValidUniqueAndStable(t *testing.T) {
	stable := map[Name]string{
		"openshell":                   "openshell-cluster-openshell",
		"my.box":                      "openshell-cluster-my-box-672e6d51",
		Name(strings.Repeat("x", 60)): "openshell-cluster-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx-42f2d973",
	}
	for name, want := range stable {
		if got := name.Hostname(); got != want {
			t.Errorf("%s: hostname %s, want %s", name, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		form := rapid.StringMatching(`[A-Za-z0-9]([A-Za-z0-9._-]{0,58}[A-Za-z0-9])?`)
		a, errA := ParseName(form.Draw(t, "a"))
		b, errB := ParseName(form.Draw(t, "b"))
		if errA != nil || errB != nil {
			t.Fatalf("%v, %v", errA, errB)
		}
		for _, n := range []Name{a, b} {
			if !rfc1123.MatchString(n.Hostname()) || !dockerName.MatchString(n.Resource()) {
				t.Fatalf("%s: hostname %s, resource %s", n, n.Hostname(), n.Resource())
			}
		}
		if (a == b) != (a.Hostname() == b.Hostname()) {
			t.Fatalf("%s and %s: hostnames %s and %s", a, b, a.Hostname(), b.Hostname())
		}
	})
}

// Names that differ only in what a hostname cannot show must not meet.
func TestPitfall21LookalikesDoNotCollide(t *testing.T) {
	seen := map[string]Name{}
	for _, n := range []Name{"a.b", "a-b", "a_b", "A-b", "a-B"} {
		if other, ok := seen[n.Hostname()]; ok {
			t.Errorf("%s and %s share %s", n, other, n.Hostname())
		}
		seen[n.Hostname()] = n
	}
}

func TestOwns(t *testing.T) {
	labels := Name("dev").Labels("v1")
	if !Name("dev").Owns(labels) || Name("other").Owns(labels) || Name("dev").Owns(nil) {
		t.Error("ownership is not told by labels")
	}
}
