package logfile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCopyRotates(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gateway.log")
	if err := os.WriteFile(path, []byte("before\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := File{Path: path, MaxSize: 12, Keep: 2}
	if err := file.Copy(strings.NewReader("one\ntwo\nthree\nfour\nfive\nsix\nlast words")); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, suffix := range []string{"", ".1", ".2", ".3"} {
		if data, err := os.ReadFile(path + suffix); err == nil {
			got[suffix] = string(data)
		}
	}
	want := map[string]string{"": "last words", ".1": "six\n", ".2": "four\nfive\n"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// What is there is appended to, and a line longer than the file stands alone.
func TestCopyAppends(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gateway.log")
	long := strings.Repeat("x", 3*maxLine) + "\n"
	for _, text := range []string{"first\n", "second\n", long} {
		file := File{Path: path, MaxSize: 10 * maxLine, Keep: 1}
		if err := file.Copy(strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
	if data, err := os.ReadFile(path); string(data) != "first\nsecond\n"+long {
		t.Errorf("%d bytes: %v", len(data), err)
	}
}

// A log that cannot be written keeps nobody waiting.
func TestCopyReadsOn(t *testing.T) {
	file := File{Path: filepath.Join(t.TempDir(), "missing", "gateway.log"), MaxSize: 10, Keep: 1}
	in := strings.NewReader(strings.Repeat("line\n", 1000))
	if err := file.Copy(in); err == nil {
		t.Error("no error is reported")
	}
	if in.Len() != 0 {
		t.Errorf("%d bytes were not read", in.Len())
	}
}
