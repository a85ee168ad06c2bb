package volume_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"openshell.ai/openshell/deploy/node/internal/volume"
)

const (
	first  = "aside-20261121T211500Z"
	second = "aside-20261122T080000Z"
)

// write makes a state with one file.
func write(t *testing.T, root, state, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(root, state), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, state, "data"), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// tree maps each state on the volume to its content.
func tree(t *testing.T, root string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(root, e.Name(), "data"))
		if err != nil {
			t.Fatal(err)
		}
		got[e.Name()] = string(data)
	}
	return got
}

func TestSetAsideAndRestoreAreInverse(t *testing.T) {
	root := t.TempDir()
	v := volume.Volume{Root: root}
	write(t, root, "current", "old")
	if err := v.SetAside(first); err != nil {
		t.Fatal(err)
	}
	write(t, root, "current", "new")

	had, err := v.Restore(t.Context(), first, second)
	if err != nil || !had {
		t.Fatalf("Restore = %v, %v; want a present state to be set aside", had, err)
	}
	want := map[string]string{"current": "old", second: "new"}
	if diff := cmp.Diff(want, tree(t, root)); diff != "" {
		t.Error(diff)
	}
}

func TestRestoreWithoutPresentState(t *testing.T) {
	root := t.TempDir()
	write(t, root, first, "old")
	had, err := volume.Volume{Root: root}.Restore(t.Context(), first, second)
	if err != nil || had {
		t.Fatalf("Restore = %v, %v; want no present state", had, err)
	}
	if diff := cmp.Diff(map[string]string{"current": "old"}, tree(t, root)); diff != "" {
		t.Error(diff)
	}
}

func TestRefusalsChangeNothing(t *testing.T) {
	for name, do := range map[string]func(volume.Volume) error{
		"set aside over an aside": func(v volume.Volume) error { return v.SetAside(first) },
		"set aside elsewhere":     func(v volume.Volume) error { return v.SetAside("../outside") },
		"restore what is not": func(v volume.Volume) error {
			_, err := v.Restore(t.Context(), second, "aside-20270101T000000Z")
			return err
		},
		"restore over an aside": func(v volume.Volume) error { _, err := v.Restore(t.Context(), first, first); return err },
		"restore the present":   func(v volume.Volume) error { _, err := v.Restore(t.Context(), "current", second); return err },
		"restore a path": func(v volume.Volume) error {
			_, err := v.Restore(t.Context(), "aside-20261121T211500Z/..", second)
			return err
		},
		"set aside without a name": func(v volume.Volume) error { return v.SetAside("") },
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			write(t, root, "current", "present")
			write(t, root, first, "aside")
			before := tree(t, root)
			if err := do(volume.Volume{Root: root}); err == nil {
				t.Error("no error")
			}
			if diff := cmp.Diff(before, tree(t, root)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAsidesNewestFirst(t *testing.T) {
	root := t.TempDir()
	for _, state := range []string{first, first + "-unreadable", second, second + "-2", "current", "aside-nonsense", first + "-other", "lost+found"} {
		write(t, root, state, state)
	}
	asides, err := volume.Volume{Root: root}.Asides()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, a := range asides {
		names = append(names, a.Name)
	}
	if diff := cmp.Diff([]string{second + "-2", second, first + "-unreadable", first}, names); diff != "" {
		t.Error(diff)
	}
}
