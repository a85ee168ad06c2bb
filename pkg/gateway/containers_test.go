package gateway

import "testing"

func TestNamesOfUserContainersAreUnambiguous(t *testing.T) {
	seen := map[string]string{}
	for _, gw := range []Name{"a", "a-b", "a.b", "a_b", "a.b.c", "sidecar-a"} {
		for _, c := range []string{"b", "c", "b-c", "a"} {
			for _, name := range []string{gw.UserContainer(c), gw.Sidecar(c)} {
				what := string(gw) + " " + c
				if other, ok := seen[name]; ok {
					t.Errorf("%s is of %s and of %s", name, other, what)
				}
				seen[name] = what
				if !dockerName.MatchString(name) {
					t.Errorf("%s is no name for Docker", name)
				}
			}
			for _, other := range []Name{"a", "a-b", "a.b", "a_b", "a.b.c", "sidecar-a"} {
				if got := other.IsSidecar(gw.Sidecar(c)); got != (other == gw) {
					t.Errorf("%s is a sidecar of %s: %v", gw.Sidecar(c), other, got)
				}
			}
			if gw.IsSidecar(gw.UserContainer(c)) {
				t.Errorf("%s is a sidecar", gw.UserContainer(c))
			}
		}
	}
}
