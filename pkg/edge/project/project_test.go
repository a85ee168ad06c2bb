package project

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestLoadWhatWasSaved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "project-config.json")
	if _, ok, err := Load(path); ok || err != nil {
		t.Fatalf("absent: %v, %v", ok, err)
	}
	want := Config{GatewayID: "g1", Epoch: 7, Organization: "acme", Version: 3}
	if err := Save(path, want); err != nil {
		t.Fatal(err)
	}
	got, ok, err := Load(path)
	if diff := cmp.Diff(want, got); diff != "" || !ok || err != nil {
		t.Errorf("%s, %v, %v", diff, ok, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode is %v, %v", info.Mode(), err)
	}
	for range 2 {
		if err := Blank(path); err != nil {
			t.Error(err)
		}
	}
	if _, ok, err := Load(path); ok || err != nil {
		t.Errorf("blank: %v, %v", ok, err)
	}
}

func TestLoadRefuses(t *testing.T) {
	good := `{"gateway_id":"g1","epoch":7}`
	for name, make := range map[string]func(path string) error{
		"half":            func(path string) error { return os.WriteFile(path, []byte(good[:10]), 0o600) },
		"no epoch":        func(path string) error { return os.WriteFile(path, []byte(`{}`), 0o600) },
		"others may read": func(path string) error { return os.WriteFile(path, []byte(good), 0o644) },
		"a link": func(path string) error {
			if err := os.WriteFile(path+".target", []byte(good), 0o600); err != nil {
				return err
			}
			return os.Symlink(path+".target", path)
		},
		"a directory": func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		path := filepath.Join(t.TempDir(), "config")
		if err := make(path); err != nil {
			t.Fatal(err)
		}
		if c, ok, err := Load(path); ok || err == nil {
			t.Errorf("%s: %+v was taken", name, c)
		}
	}
	blank := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(blank, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := Load(blank); ok || err != nil {
		t.Errorf("blank: %v, %v", ok, err)
	}
}

func TestEpochsGrow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "epoch")
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	var last int64
	next := func(what string, now time.Time) {
		t.Helper()
		epoch, err := NextEpoch(path, now)
		if err != nil || epoch <= last {
			t.Errorf("%s: %d after %d, %v", what, epoch, last, err)
		}
		last = epoch
	}
	next("first", now)
	next("at the same time", now)
	next("clock set back", now.Add(-time.Hour))
	for what, content := range map[string]string{"damaged": "12x", "absurd": strings.Repeat("9", 18)} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Hour)
		next(what, now)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	next("lost", now.Add(time.Hour))
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"gateway_id":"g1","epoch":7,"organization_id":"acme","version":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if c, err := decode(data); err == nil && (c.Epoch <= 0 || c.Version < 0) {
			t.Errorf("taken: %+v", c)
		}
	})
}
