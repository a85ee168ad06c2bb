package durable

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// writers are the ways to replace a file, which differ in what they wait for.
var writers = map[string]func(string, []byte, fs.FileMode) error{"WriteFile": WriteFile, "Replace": Replace}

func TestWritersReplaceWholeAndLeaveNothing(t *testing.T) {
	for name, write := range writers {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "names.json")
			for _, content := range []string{"first, and longer", "second"} {
				if err := write(path, []byte(content), 0o640); err != nil {
					t.Fatal(err)
				}
				got, err := os.ReadFile(path)
				if err != nil || string(got) != content {
					t.Fatalf("content is %q, %v, want %q", got, err, content)
				}
			}
			entries, err := os.ReadDir(dir)
			if err != nil || len(entries) != 1 {
				t.Fatalf("directory holds %v, %v, want the one file", entries, err)
			}
			info, err := os.Stat(path)
			if err != nil || info.Mode().Perm() != 0o640 {
				t.Fatalf("mode is %v, %v, want 0640", info.Mode(), err)
			}
		})
	}
}

// What has the old file open goes on reading that.
func TestWritersLeaveTheOldFileToItsReaders(t *testing.T) {
	for name, write := range writers {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file")
			if err := write(path, []byte("old"), 0o600); err != nil {
				t.Fatal(err)
			}
			reader, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer reader.Close()
			if err := write(path, []byte("new"), 0o600); err != nil {
				t.Fatal(err)
			}
			data := make([]byte, 8)
			if n, err := reader.Read(data); err != nil || string(data[:n]) != "old" {
				t.Errorf("the reader finds %q, %v", data[:n], err)
			}
		})
	}
}

func TestWritersKeepTheOldOneWhenTheyCannot(t *testing.T) {
	for name, write := range writers {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "taken")
			if err := os.MkdirAll(filepath.Join(path, "in"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := write(path, nil, 0o600); err == nil {
				t.Fatal("a directory was replaced")
			}
			if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
				t.Fatalf("directory holds %v, %v, want what it held", entries, err)
			}
		})
	}
}
