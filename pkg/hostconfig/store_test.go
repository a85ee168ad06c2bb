package hostconfig

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gateway"
)

func meta(name gateway.Name) Metadata {
	return Metadata{Name: name, Endpoint: "https://127.0.0.1:8080", Port: 8080, Bind: "127.0.0.1", Version: "v1"}
}

func TestDefaultRoot(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", "/tmp/xdg")
	if got, err := DefaultRoot(); err != nil || got != filepath.Join("/tmp/xdg", "openshell") {
		t.Errorf("with XDG_CONFIG_HOME: %q, %v", got, err)
	}
	t.Setenv("XDG_CONFIG_HOME", "relative")
	if _, err := DefaultRoot(); !fault.HasID(err, fault.BadValue) {
		t.Errorf("relative XDG_CONFIG_HOME: %v", err)
	}
	t.Setenv("XDG_CONFIG_HOME", "")
	t.Setenv("HOME", "/home/u")
	if got, err := DefaultRoot(); err != nil || got != "/home/u/.config/openshell" {
		t.Errorf("with HOME: %q, %v", got, err)
	}
}

func TestPitfall21NamesAreDistinctDirectories(t *testing.T) {
	names := []gateway.Name{"foo", "Foo", "FOO", "f.oo", "f-oo", "f_oo", "con", "CON", "con.x", "console", "a", gateway.Name(strings.Repeat("A", 60))}
	s := New(t.TempDir())
	seen := map[string]gateway.Name{}
	for _, name := range names {
		dir := filepath.Base(s.GatewayDir(name))
		if dir != strings.ToLower(dir) {
			t.Errorf("directory %q of %q needs a case-sensitive file system", dir, name)
		}
		if other, taken := seen[dir]; taken {
			t.Errorf("%q and %q share the directory %q", name, other, dir)
		}
		seen[dir] = name
		if back, ok := nameOfDir(dir); !ok || back != name {
			t.Errorf("directory %q of %q reads back as %q, %v", dir, name, back, ok)
		}
		if _, err := s.WriteMetadata(name, meta(name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{"lost.+", "+", "=foo", ".hidden", "Foo", "+9"} {
		if name, ok := nameOfDir(dir); ok {
			t.Errorf("directory %q reads as %q", dir, name)
		}
	}
	listed, err := s.Names()
	if err != nil || len(listed) != len(names) {
		t.Errorf("Names: %v, %v", listed, err)
	}
}

func TestNamesListsGatewaysOnly(t *testing.T) {
	s := New(t.TempDir())
	if names, err := s.Names(); err != nil || len(names) != 0 {
		t.Errorf("of an absent directory: %v, %v", names, err)
	}
	must(t, write(s.WriteMetadata("b", meta("b"))))
	must(t, write(s.WriteBundle("a", bundle("1"))))
	path, err := s.SaveFailure("failed", []byte("log"))
	must(t, err)
	if got, err := s.LastFailure("failed"); err != nil || string(got) != "log" {
		t.Errorf("%s holds %q, %v", path, got, err)
	}
	must(t, os.Mkdir(filepath.Join(s.Root(), "gateways", "lost+found"), 0o700))
	names, err := s.Names()
	must(t, err)
	if diff := cmp.Diff([]gateway.Name{"a", "b"}, names); diff != "" {
		t.Error(diff)
	}
}

func TestRemoveLeavesNothingAndIsRepeatable(t *testing.T) {
	s := New(t.TempDir())
	must(t, write(s.WriteMetadata("a", meta("a"))))
	must(t, write(s.WriteBundle("a", bundle("1"))))
	must(t, s.Remove("a"))
	must(t, s.Remove("a"))
	entries, err := os.ReadDir(filepath.Join(s.Root(), "gateways"))
	if err != nil || len(entries) != 0 {
		t.Errorf("left: %v, %v", entries, err)
	}
	if _, err := s.Metadata("a"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("metadata: %v", err)
	}
}

func TestWritingTwiceChangesOnce(t *testing.T) {
	s := New(t.TempDir())
	first := meta("a")
	first.UpdatedAt = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	later := first
	later.UpdatedAt = later.UpdatedAt.Add(time.Hour)
	moved := later
	moved.Port = 9000
	for i, step := range []struct {
		m    Metadata
		want bool
	}{{first, true}, {first, false}, {later, false}, {moved, true}} {
		changed, err := s.WriteMetadata("a", step.m)
		if err != nil || changed != step.want {
			t.Errorf("writing %d: changed %v, %v", i, changed, err)
		}
	}
	got, err := s.Metadata("a")
	if diff := cmp.Diff(moved, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
}

func TestDamagedMetadataIsAnErrorAndReplaceable(t *testing.T) {
	for name, content := range map[string]string{
		"empty": "", "torn": `{"name":"a","port":80`, "other name": `{"name":"b","port":8080}`, "bad port": `{"name":"a","port":70000}`,
	} {
		t.Run(name, func(t *testing.T) {
			s := New(t.TempDir())
			must(t, write(s.WriteMetadata("a", meta("a"))))
			must(t, os.WriteFile(filepath.Join(s.GatewayDir("a"), "metadata.json"), []byte(content), 0o600))
			if _, err := s.Metadata("a"); !fault.HasID(err, fault.HostFiles) || errors.Is(err, fs.ErrNotExist) {
				t.Errorf("read: %v", err)
			}
			must(t, write(s.WriteMetadata("a", meta("a"))))
			if _, err := s.Metadata("a"); err != nil {
				t.Errorf("after writing again: %v", err)
			}
		})
	}
}

func TestActive(t *testing.T) {
	s := New(filepath.Join(t.TempDir(), "openshell"))
	if _, err := s.Active(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("none selected: %v", err)
	}
	must(t, s.ClearActive("a"))
	must(t, s.SetActive("a"))
	must(t, s.SetActive("B.x"))
	must(t, s.ClearActive("a"))
	if name, err := s.Active(); err != nil || name != "B.x" {
		t.Errorf("selected B.x: %q, %v", name, err)
	}
	must(t, s.ClearActive("B.x"))
	if _, err := s.Active(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("cleared: %v", err)
	}
	if err := s.SetActive("../x"); !fault.HasID(err, fault.BadName) {
		t.Errorf("bad name: %v", err)
	}
	for _, content := range []string{"", "../../etc\n", "a\nb\n", " a\n"} {
		must(t, os.WriteFile(filepath.Join(s.Root(), "active_gateway"), []byte(content), 0o600))
		if _, err := s.Active(); !fault.HasID(err, fault.HostFiles) {
			t.Errorf("content %q: %v", content, err)
		}
	}
	must(t, s.SetActive("a"))
}

// A file in the place of a directory is unreadable for root as well.
func TestPitfall13ReadErrorIsNotAbsent(t *testing.T) {
	root := filepath.Join(t.TempDir(), "openshell")
	must(t, os.WriteFile(root, nil, 0o600))
	s := New(root)
	_, active := s.Active()
	_, bundle := s.Bundle("a")
	_, metadata := s.Metadata("a")
	_, names := s.Names()
	_, failure := s.SaveFailure("a", nil)
	for what, err := range map[string]error{"active": active, "bundle": bundle, "metadata": metadata, "names": names, "failure": failure, "set": s.SetActive("a")} {
		if !fault.HasID(err, fault.HostFiles) || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(_ bool, err error) error { return err }

// A writer that is killed leaves what it was writing; the next one tidies up.
func TestLeftoversOfKilledWritersGo(t *testing.T) {
	s := New(t.TempDir())
	bundle := Bundle{CA: []byte("ca"), Cert: []byte("cert"), Key: []byte("key")}
	write := func() {
		t.Helper()
		if _, err := s.WriteBundle("work", bundle); err != nil {
			t.Fatal(err)
		}
		if _, err := s.WriteMetadata("work", meta("work")); err != nil {
			t.Fatal(err)
		}
	}
	write()
	dir := s.GatewayDir("work")
	for _, leftover := range []string{".metadata.json.new-123", ".mtls-new-123/tls.key", ".mtls-old/tls.key"} {
		path := filepath.Join(dir, leftover)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(dir, metadataFile)); err != nil {
		t.Fatal(err)
	}
	write() // of the same bundle
	hidden, err := filepath.Glob(filepath.Join(dir, ".*"))
	if err != nil || len(hidden) > 0 {
		t.Errorf("left: %v, %v", hidden, err)
	}
}

func TestChangesThatCannotBeMade(t *testing.T) {
	s := New(t.TempDir())
	if err := s.SetActive("work"); err != nil {
		t.Fatal(err)
	}
	refused := errors.New("refused")
	var asked []string
	s.Commit = func(path string, _ func() error) error {
		asked = append(asked, strings.TrimPrefix(path, s.Root()+string(filepath.Separator)))
		return refused
	}
	bundle := Bundle{CA: []byte("ca"), Cert: []byte("cert"), Key: []byte("key")}
	_, bundleErr := s.WriteBundle("work", bundle)
	_, metadataErr := s.WriteMetadata("work", meta("work"))
	_, failureErr := s.SaveFailure("work", nil)
	for what, err := range map[string]error{
		"bundle": bundleErr, "metadata": metadataErr, "failure": failureErr,
		"selection": s.SetActive("other"), "no selection": s.ClearActive("work"), "removal": s.Remove("work"),
	} {
		if !errors.Is(err, refused) || !fault.HasID(err, fault.HostFiles) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, dir := range []string{s.Root(), s.GatewayDir("work")} {
		hidden, err := filepath.Glob(filepath.Join(dir, ".*"))
		if err != nil || len(hidden) > 0 {
			t.Errorf("left: %v, %v", hidden, err)
		}
	}
	if active, err := s.Active(); err != nil || active != "work" {
		t.Errorf("selected: %q, %v", active, err)
	}
	if len(asked) != 6 {
		t.Errorf("asked about %v", asked)
	}
}
