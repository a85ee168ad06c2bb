package release

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// entry is one of an archive that somebody made.
type entry struct {
	name, content, link string
	kind                byte
}

func archiveOf(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	archive := tar.NewWriter(zip)
	for _, e := range entries {
		header := &tar.Header{Name: e.name, Mode: 0o755, Size: int64(len(e.content)), Typeflag: e.kind, Linkname: e.link}
		if err := archive.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		archive.Write([]byte(e.content))
	}
	archive.Close()
	zip.Close()
	return out.Bytes()
}

func TestUnpackRefuses(t *testing.T) {
	file := func(name string) entry { return entry{name: name, content: "x", kind: tar.TypeReg} }
	many := make([]entry, MaxEntries+1)
	for i := range many {
		many[i] = entry{name: "app/", kind: tar.TypeDir}
	}
	tests := map[string]struct {
		entries []entry
		want    string
	}{
		"absolute":           {[]entry{file("/etc/cron.d/x")}, "is not a path"},
		"parent":             {[]entry{file("app/../../x")}, "is not a path"},
		"parent at the end":  {[]entry{file("app/..")}, "is not a path"},
		"elsewhere":          {[]entry{file("etc/x")}, "is not a path"},
		"manifest":           {[]entry{file("manifest.json")}, "is not a path"},
		"dot":                {[]entry{file("./app/x")}, "is not a path"},
		"backslash":          {[]entry{file(`app/..\x`)}, "is not a path"},
		"symbolic link":      {[]entry{{name: "app/x", link: "../../x", kind: tar.TypeSymlink}}, "neither a file nor"},
		"link inside":        {[]entry{{name: "app/x", link: "y", kind: tar.TypeSymlink}}, "neither a file nor"},
		"hard link":          {[]entry{{name: "app/x", link: "/etc/passwd", kind: tar.TypeLink}}, "neither a file nor"},
		"device":             {[]entry{{name: "app/x", kind: tar.TypeBlock}}, "neither a file nor"},
		"fifo":               {[]entry{{name: "app/x", kind: tar.TypeFifo}}, "neither a file nor"},
		"twice":              {[]entry{file("app/x"), file("app/x")}, "exists"},
		"file for directory": {[]entry{file("app"), file("app/x")}, "exists"},
		"too many":           {many, "more than"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := unpack(bytes.NewReader(archiveOf(t, test.entries...)), dir); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	if err := unpack(strings.NewReader("no archive"), t.TempDir()); err == nil {
		t.Error("something else was taken for an archive")
	}
	var bomb bytes.Buffer
	zip := gzip.NewWriter(&bomb)
	tar.NewWriter(zip).WriteHeader(&tar.Header{Name: "app/x", Size: MaxUnpacked + 1, Typeflag: tar.TypeReg})
	zip.Close()
	if err := unpack(&bomb, t.TempDir()); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("a bomb: %v", err)
	}
}

// Whatever is unpacked, it is files and directories below the parts.
func FuzzUnpack(f *testing.F) {
	f.Add(archiveOf(f, entry{name: "app/x", content: "x", kind: tar.TypeReg}, entry{name: "bin/", kind: tar.TypeDir}))
	f.Add(archiveOf(f, entry{name: "../x", content: "x", kind: tar.TypeReg}))
	f.Add(archiveOf(f, entry{name: "app/l", link: "/", kind: tar.TypeSymlink}, entry{name: "app/l/x", content: "x", kind: tar.TypeReg}))
	f.Fuzz(func(t *testing.T, data []byte) {
		parent := t.TempDir()
		dir := filepath.Join(parent, "release")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		_ = unpack(bytes.NewReader(data), dir)
		err := filepath.WalkDir(parent, func(path string, e fs.DirEntry, err error) error {
			rel, _ := filepath.Rel(dir, path)
			first, _, _ := strings.Cut(rel, string(filepath.Separator))
			if err == nil && path != parent && path != dir && first != "app" && first != "bin" || !e.IsDir() && !e.Type().IsRegular() {
				t.Errorf("unpacked: %s", path)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
}
