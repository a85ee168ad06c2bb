package docker

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTarHoldsTheMissingDirectoriesAndTheFile(t *testing.T) {
	data, err := tarFile([]string{"current", "deep"}, "gateway.json", 0o600, []byte("{}"), time.Unix(1, 0))
	if err != nil {
		t.Fatal(err)
	}
	type entry struct {
		Name string
		Type byte
		Mode int64
		Data string
	}
	var got []entry
	r := tar.NewReader(bytes.NewReader(data))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(r)
		got = append(got, entry{h.Name, h.Typeflag, h.Mode, string(body)})
	}
	want := []entry{
		{"current/", tar.TypeDir, 0o700, ""}, {"current/deep/", tar.TypeDir, 0o700, ""},
		{"current/deep/gateway.json", tar.TypeReg, 0o600, "{}"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestUntarTakesOneRegularFileAlone(t *testing.T) {
	pack := func(h tar.Header, data string) []byte {
		var buf bytes.Buffer
		w := tar.NewWriter(&buf)
		h.Size = int64(len(data))
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(w, data)
		_ = w.Flush()
		return buf.Bytes()
	}
	file := pack(tar.Header{Typeflag: tar.TypeReg, Name: "f", Mode: 0o600}, "content")
	if data, err := untarFile(bytes.NewReader(file)); err != nil || string(data) != "content" {
		t.Errorf("file: %q, %v", data, err)
	}
	for name, tc := range map[string]struct {
		archive []byte
		says    string
	}{
		"directory": {pack(tar.Header{Typeflag: tar.TypeDir, Name: "d/"}, ""), "not a regular file"},
		"link":      {pack(tar.Header{Typeflag: tar.TypeSymlink, Name: "l", Linkname: "f"}, ""), "not a regular file"},
		"too big":   {pack(tar.Header{Typeflag: tar.TypeReg, Name: "f"}, strings.Repeat("x", maxFile+1)), "at most"},
		"cut":       {file[:515], "unexpected EOF"},
		"empty":     {nil, "unexpected EOF"},
	} {
		if _, err := untarFile(bytes.NewReader(tc.archive)); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v, want %q", name, err, tc.says)
		}
	}
}

func FuzzUntarFile(f *testing.F) {
	data, err := tarFile(nil, "f", 0o600, []byte("content"), time.Unix(1, 0))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(data[:515])
	f.Fuzz(func(t *testing.T, data []byte) {
		if got, err := untarFile(bytes.NewReader(data)); err == nil && len(got) > maxFile {
			t.Errorf("%d bytes were read", len(got))
		}
	})
}
