package containers

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var addresses = cmpopts.EquateComparable(netip.Addr{})

func add(t *testing.T, r Registry, name string, services ...Service) (Container, string) {
	t.Helper()
	c, token, err := r.Add(t.Context(), name, "", services)
	if err != nil {
		t.Fatal(err)
	}
	return c, token
}

func TestRegistryKeepsContainers(t *testing.T) {
	dir := t.TempDir()
	r := Open(dir)
	if all, err := r.List(); err != nil || len(all) != 0 {
		t.Fatalf("without a file: %v, %v", all, err)
	}
	web, token := add(t, r, "web", Service{"site", 8080})
	db, _ := add(t, r, "db")
	if web.Address == db.Address || web.Address.String() != "172.16.1.1" {
		t.Errorf("addresses %s and %s", web.Address, db.Address)
	}
	all, err := Open(dir).List()
	if diff := cmp.Diff([]Container{db, web}, all, addresses); err != nil || diff != "" {
		t.Errorf("list (-want +got): %v\n%s", err, diff)
	}
	data, err := os.ReadFile(filepath.Join(dir, "containers.json"))
	if err != nil || strings.Contains(string(data), token) {
		t.Errorf("the file has the token: %v", err)
	}
	if info, err := os.Stat(filepath.Join(dir, "containers.json")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	for _, by := range []string{web.ID, web.Name} {
		if got, err := r.Get(by); err != nil || got.ID != web.ID {
			t.Errorf("get %s: %v, %v", by, got, err)
		}
	}
	if removed, err := r.Remove(t.Context(), "web"); err != nil || removed.ID != web.ID {
		t.Errorf("remove: %v, %v", removed, err)
	}
	if _, err := r.Remove(t.Context(), web.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
	again, _ := add(t, r, "web")
	if again.Address == web.Address {
		t.Errorf("the address %s of a removed container comes back at once", web.Address)
	}
}

func TestVerify(t *testing.T) {
	r := Open(t.TempDir())
	web, token := add(t, r, "web")
	db, other := add(t, r, "db")
	for _, try := range []struct {
		name, id, token string
		want            error
	}{
		{"own", web.ID, token, nil},
		{"another's token", web.ID, other, ErrUnauthorized},
		{"another's id", db.ID, token, ErrUnauthorized},
		{"name for id", web.Name, token, ErrUnauthorized},
		{"hash for token", web.ID, web.TokenHash, ErrUnauthorized},
		{"no token", web.ID, "", ErrUnauthorized},
		{"no id", "", token, ErrUnauthorized},
		{"unknown id", "0123456789abcdef", token, ErrUnauthorized},
	} {
		t.Run(try.name, func(t *testing.T) {
			c, err := r.Verify(try.id, try.token)
			if !errors.Is(err, try.want) || err == nil && c.ID != web.ID || err != nil && c.ID != "" {
				t.Errorf("%+v, %v", c, err)
			}
		})
	}
	rotated, renewed, err := r.Rotate(t.Context(), "web")
	if err != nil || rotated.Address != web.Address || renewed == token {
		t.Fatalf("rotate: %+v, %v", rotated, err)
	}
	if _, err := r.Verify(web.ID, token); !errors.Is(err, ErrUnauthorized) {
		t.Errorf("the old token: %v", err)
	}
	if _, err := r.Verify(web.ID, renewed); err != nil {
		t.Errorf("the new token: %v", err)
	}
}

func TestAddRefuses(t *testing.T) {
	r := Open(t.TempDir())
	add(t, r, "taken")
	many := make([]Service, MaxServices+1)
	for i := range many {
		many[i] = Service{fmt.Sprintf("s%d", i), 80}
	}
	for _, try := range []struct {
		name     string
		services []Service
		want     string
	}{
		{"", nil, "container name"},
		{"-a", nil, "container name"},
		{"A", nil, "container name"},
		{"a.b", nil, "container name"},
		{strings.Repeat("a", 64), nil, "container name"},
		{"a\nb", nil, "container name"},
		{"0123456789abcdef", nil, "the form of an id"},
		{"taken", nil, "exists"},
		{"a", []Service{{"collab", 80}}, "the gateway's own"},
		{"a", []Service{{"x y", 80}}, "service name"},
		{"a", []Service{{"x", 0}}, "port"},
		{"a", []Service{{"x", 1}, {"x", 2}}, "twice"},
		{"a", many, "more than"},
	} {
		if c, token, err := r.Add(t.Context(), try.name, "", try.services); err == nil || !strings.Contains(err.Error(), try.want) || token != "" || c.ID != "" {
			t.Errorf("%q with %v: %v; want %q", try.name, try.services, err, try.want)
		}
	}
	if all, err := r.List(); err != nil || len(all) != 1 {
		t.Errorf("%v, %v", all, err)
	}
}

// A file that makes no sense is never taken for a registry without containers.
func TestDamagedIsNotEmpty(t *testing.T) {
	dir := t.TempDir()
	r := Open(dir)
	path := filepath.Join(dir, "containers.json")
	add(t, r, "web")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"empty":          "",
		"half":           string(whole[:len(whole)/2]),
		"null":           "null",
		"other":          "{}",
		"future":         strings.Replace(string(whole), `"version": 1`, `"version": 2`, 1),
		"unknown field":  strings.Replace(string(whole), `"version"`, `"x": 1, "version"`, 1),
		"twice":          string(whole) + string(whole),
		"other network":  strings.ReplaceAll(string(whole), "172.16.1.", "10.0.0."),
		"gateway's":      strings.ReplaceAll(string(whole), "172.16.1.1", "172.16.0.1"),
		"too long":       strings.Repeat(" ", maxFile+1),
		"hash too short": strings.Replace(string(whole), `"tokenHash": "`, `"tokenHash": "x`, 1),
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			_, listed := r.List()
			_, verified := r.Verify("0123456789abcdef", "x")
			_, _, added := r.Add(t.Context(), "db", "", nil)
			for _, err := range []error{listed, verified, added} {
				if !errors.Is(err, ErrDamaged) {
					t.Errorf("%v", err)
				}
			}
			if after, err := os.ReadFile(path); err != nil || string(after) != content {
				t.Error("the file was replaced")
			}
		})
	}
}

func TestAddAtOnce(t *testing.T) {
	dir := t.TempDir()
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			if _, _, err := Open(dir).Add(t.Context(), fmt.Sprintf("c%d", i), "", nil); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	list, err := Open(dir).List()
	seen := map[netip.Addr]bool{}
	for _, c := range list {
		seen[c.Address] = true
	}
	if err != nil || len(list) != 20 || len(seen) != 20 {
		t.Errorf("%d containers with %d addresses: %v", len(list), len(seen), err)
	}
}

func TestAddressesComeRound(t *testing.T) {
	d := document{Version: version, Next: last}
	d.Containers = []Container{{Address: first}}
	if got := d.assign(); got != last {
		t.Errorf("first %s", got)
	}
	if got, want := d.assign(), first.Next(); got != want {
		t.Errorf("then %s, want %s: %s is taken", got, want, first)
	}
}

func FuzzDecode(f *testing.F) {
	r := Open(f.TempDir())
	if _, _, err := r.Add(f.Context(), "web", "", []Service{{"site", 8080}}); err != nil {
		f.Fatal(err)
	}
	data, err := os.ReadFile(r.path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"version":1,"next":"172.16.1.1","containers":[]}`))
	f.Add([]byte(`{"version":1,"next":"172.16.1.1","containers":[{}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := decode(data)
		if err != nil {
			return
		}
		// What is accepted can be written, read again and added to.
		a := d.assign()
		if !assignable(a) || !assignable(d.Next) {
			t.Fatalf("assigns %s, then %s", a, d.Next)
		}
		for _, c := range d.Containers {
			if c.Address == a {
				t.Fatalf("assigns %s twice", a)
			}
		}
		written, err := d.encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decode(written); err != nil {
			t.Fatalf("refuses what it wrote: %v\n%s", err, written)
		}
	})
}
