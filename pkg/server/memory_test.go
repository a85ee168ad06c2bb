package server

import (
	"os"
	"path/filepath"
	"testing"
)

func TestMemoryLimit(t *testing.T) {
	for _, tt := range []struct {
		v2, v1 string // "": there is no such file
		want   int64
	}{
		{"268435456\n", "", 241591905},
		{"max\n", "", 0},
		{"", "268435456\n", 241591905},
		{"", "9223372036854771712\n", 0},
		{"", "", 0},
		{"nonsense", "", 0},
	} {
		var files []string
		for name, text := range map[string]string{"v2": tt.v2, "v1": tt.v1} {
			if text != "" {
				path := filepath.Join(t.TempDir(), name)
				must(t, os.WriteFile(path, []byte(text), 0o600))
				files = append(files, path)
			}
		}
		files = append(files, "/nonexistent")
		if got, ok := memoryLimit(files); got != tt.want || ok != (tt.want > 0) {
			t.Errorf("memoryLimit(%q, %q) = %d, %v, want %d", tt.v2, tt.v1, got, ok, tt.want)
		}
	}
}
