package hostconfig

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func bundle(mark string) Bundle {
	return Bundle{CA: []byte("ca " + mark), Cert: []byte("cert " + mark), Key: []byte("key " + mark)}
}

func TestBundleRoundTripAndModes(t *testing.T) {
	s := New(t.TempDir())
	if _, err := s.Bundle("a"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
	dir := filepath.Join(s.GatewayDir("a"), "mtls")
	steps := []struct {
		before  func()
		mark    string
		changed bool
	}{
		{nil, "1", true},
		{nil, "1", false},
		{nil, "2", true},
		{func() { must(t, os.Remove(filepath.Join(dir, "tls.key"))) }, "2", true},
		{func() { must(t, os.Chmod(filepath.Join(dir, "tls.key"), 0o644)) }, "2", true},
		{func() { must(t, os.Chmod(dir, 0o755)) }, "2", true},
	}
	for i, step := range steps {
		if step.before != nil {
			step.before()
		}
		changed, err := s.WriteBundle("a", bundle(step.mark))
		if err != nil || changed != step.changed {
			t.Errorf("writing %d: changed %v, %v", i, changed, err)
		}
		got, err := s.Bundle("a")
		if diff := cmp.Diff(bundle(step.mark), got); err != nil || diff != "" {
			t.Errorf("writing %d: %v %s", i, err, diff)
		}
	}
	if runtime.GOOS != "windows" {
		for path, want := range map[string]fs.FileMode{"": 0o700, "ca.crt": 0o600, "tls.crt": 0o600, "tls.key": 0o600} {
			info, err := os.Stat(filepath.Join(dir, path))
			must(t, err)
			if info.Mode().Perm() != want {
				t.Errorf("mode of mtls/%s is %o", path, info.Mode().Perm())
			}
		}
	}
	entries, err := os.ReadDir(s.GatewayDir("a"))
	if err != nil || len(entries) != 1 {
		t.Errorf("left besides mtls: %v, %v", entries, err)
	}
}

func TestBundleWithAMissingFileIsAbsent(t *testing.T) {
	for _, file := range []string{"ca.crt", "tls.crt", "tls.key"} {
		s := New(t.TempDir())
		must(t, write(s.WriteBundle("a", bundle("1"))))
		must(t, os.Remove(filepath.Join(s.GatewayDir("a"), "mtls", file)))
		if _, err := s.Bundle("a"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("without %s: %v", file, err)
		}
	}
}

func TestEmptyBundleIsRefused(t *testing.T) {
	s := New(t.TempDir())
	must(t, write(s.WriteBundle("a", bundle("1"))))
	if _, err := s.WriteBundle("a", Bundle{CA: []byte("x"), Cert: []byte("y")}); err == nil || !strings.Contains(err.Error(), "tls.key") {
		t.Errorf("error is %v", err)
	}
	if got, err := s.Bundle("a"); err != nil || string(got.Key) != "key 1" {
		t.Errorf("afterwards: %v, %v", got, err)
	}
}

// A writer without an exchange of directories can be killed after the old
// bundle moved away and before the new one is in place.
func TestPitfall5BundleSurvivesAKilledWriter(t *testing.T) {
	s := New(t.TempDir())
	must(t, write(s.WriteBundle("a", bundle("1"))))
	dir := s.GatewayDir("a")
	must(t, os.Rename(filepath.Join(dir, "mtls"), filepath.Join(dir, ".mtls-old")))
	must(t, os.Mkdir(filepath.Join(dir, ".mtls-new-1"), 0o700))
	if got, err := s.Bundle("a"); err != nil || string(got.CA) != "ca 1" {
		t.Fatalf("after the kill: %v, %v", got, err)
	}
	must(t, write(s.WriteBundle("a", bundle("2"))))
	if got, err := s.Bundle("a"); err != nil || string(got.CA) != "ca 2" {
		t.Errorf("after the next writing: %v, %v", got, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left besides mtls: %v, %v", entries, err)
	}
}

func TestReadersNeverSeeAMixedOrMissingBundle(t *testing.T) {
	s := New(t.TempDir())
	must(t, write(s.WriteBundle("a", bundle("0"))))
	done := make(chan error)
	go func() {
		var err error
		for i := 0; i < 60 && err == nil; i++ {
			_, err = s.WriteBundle("a", bundle(string(rune('0'+i%2))))
		}
		done <- err
	}()
	for {
		select {
		case err := <-done:
			must(t, err)
			return
		default:
		}
		got, err := s.Bundle("a")
		if err != nil {
			t.Fatal(err)
		}
		mark := strings.TrimPrefix(string(got.CA), "ca ")
		if diff := cmp.Diff(bundle(mark), got); diff != "" {
			t.Fatal(diff)
		}
	}
}
