package transfer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pkg/sftp"
)

// dial is a client of an SFTP server that serves this machine's files.
func dial(t *testing.T) *sftp.Client {
	t.Helper()
	here, there := net.Pipe()
	server, err := sftp.NewServer(there)
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve()
	client, err := sftp.NewClientPipe(here, here)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	return client
}

var modTime = time.Unix(1700000000, 0)

// fill makes a tree with what a transfer has to keep.
func fill(t *testing.T, dir string) {
	t.Helper()
	write := func(name, content string, mode fs.FileMode) {
		at := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(at), 0o755))
		must(t, os.WriteFile(at, []byte(content), 0o600))
		must(t, os.Chmod(at, mode))
		must(t, os.Chtimes(at, modTime, modTime))
	}
	write("run.sh", "#!/bin/sh\n", 0o755)
	write("secret", "s", 0o600)
	write("empty", "", 0o444)
	write("deep/er/file", strings.Repeat("content", 100_000), 0o640)
	write("with space/and\nnewline", "odd", 0o644)
	must(t, os.Symlink("run.sh", filepath.Join(dir, "link")))
	must(t, os.Symlink("/nonexistent/outside", filepath.Join(dir, "dangling")))
	must(t, os.Symlink("deep", filepath.Join(dir, "dirlink")))
	must(t, os.Chmod(filepath.Join(dir, "deep/er"), 0o555))
	t.Cleanup(func() { os.Chmod(filepath.Join(dir, "deep/er"), 0o755) })
}

// listing describes a tree: mode, time of files, content.
func listing(t *testing.T, dir string) []string {
	t.Helper()
	var lines []string
	must(t, filepath.WalkDir(dir, func(at string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, at)
		info, _ := d.Info()
		line := rel + " " + info.Mode().String()
		switch {
		case info.Mode().IsRegular():
			content, err := os.ReadFile(at)
			if err != nil {
				return err
			}
			line += " " + info.ModTime().UTC().Format(time.RFC3339) + " " + string(content)
		case info.Mode().Type() == fs.ModeSymlink:
			target, _ := os.Readlink(at)
			line += " -> " + target
		}
		lines = append(lines, line)
		return nil
	}))
	sort.Strings(lines)
	return lines
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestTreesArriveAsTheyWere(t *testing.T) {
	source := filepath.Join(t.TempDir(), "tree")
	fill(t, source)
	want := listing(t, source)
	ctx := context.Background()
	for name, copyTo := range map[string]func(to string, meter *Meter) (string, error){
		"up": func(to string, m *Meter) (string, error) { return Upload(ctx, dial(t), source, to, Options{Meter: m}) },
		"down": func(to string, m *Meter) (string, error) {
			return Download(ctx, dial(t), source, to, Options{Meter: m})
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, meter := t.TempDir(), &Meter{}
			final, err := copyTo(dir, meter)
			must(t, err)
			t.Cleanup(func() { os.Chmod(filepath.Join(final, "deep/er"), 0o755) })
			if final != filepath.Join(dir, "tree") {
				t.Errorf("final name %s", final)
			}
			if diff := cmp.Diff(want, listing(t, final)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if meter.Files.Load() != 5 || meter.Done.Load() != meter.Total.Load() || meter.Total.Load() < 700_000 {
				t.Errorf("%d files, %d of %d bytes", meter.Files.Load(), meter.Done.Load(), meter.Total.Load())
			}
			// once more, over what is there, under another name
			must(t, os.Remove(filepath.Join(final, "run.sh")))
			must(t, os.Chmod(filepath.Join(final, "deep/er"), 0o755))
			if again, err := copyTo(filepath.Join(dir, "new", "name")+"/", &Meter{}); err != nil || again != filepath.Join(dir, "new/name/tree") {
				t.Errorf("%s, %v", again, err)
			}
			if again, err := copyTo(dir, &Meter{}); err != nil || again != final {
				t.Errorf("%s, %v", again, err)
			}
		})
	}
}

func TestNamesOfCopies(t *testing.T) {
	dir := t.TempDir()
	source := filepath.Join(dir, "source.txt")
	must(t, os.WriteFile(source, []byte("x"), 0o600))
	must(t, os.Symlink(source, filepath.Join(dir, "named link")))
	ctx := context.Background()
	for _, c := range []struct{ from, to, want string }{
		{source, dir + "/a/", "a/source.txt"},
		{source, dir + "/b", "b"},
		{source, dir, "source.txt"},
		{filepath.Join(dir, "named link"), dir + "/c", "c"}, // what is named is followed
		{dir + "/.", dir + "/whole", "whole"},
	} {
		for name, do := range map[string]func() (string, error){
			"up":   func() (string, error) { return Upload(ctx, dial(t), c.from, c.to, Options{Meter: &Meter{}}) },
			"down": func() (string, error) { return Download(ctx, dial(t), c.from, c.to, Options{Meter: &Meter{}}) },
		} {
			got, err := do()
			if err != nil || got != filepath.Join(dir, c.want) {
				t.Errorf("%s %s to %s: %s, %v", name, c.from, c.to, got, err)
			}
			if info, err := os.Lstat(got); err != nil || info.Mode().Type()&fs.ModeSymlink != 0 {
				t.Errorf("%s: %v", got, err)
			}
		}
		os.RemoveAll(filepath.Join(dir, "whole"))
	}
	for _, from := range []string{"/nonexistent", dir + "/none"} {
		if _, err := Download(ctx, dial(t), from, dir, Options{Meter: &Meter{}}); !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
		if _, err := Upload(ctx, dial(t), from, dir, Options{Meter: &Meter{}}); !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
	}
}

// TestLinksLeadNowhere puts a link out of the destination where a directory of
// the tree is to be: nothing may be written through it.
func TestLinksLeadNowhere(t *testing.T) {
	source, outside, dest := filepath.Join(t.TempDir(), "tree"), t.TempDir(), t.TempDir()
	fill(t, source)
	must(t, os.Mkdir(filepath.Join(dest, "tree"), 0o700))
	must(t, os.Symlink(outside, filepath.Join(dest, "tree", "deep")))
	if _, err := Download(context.Background(), dial(t), source, dest, Options{Meter: &Meter{}}); err == nil {
		t.Error("written through a link")
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) > 0 {
		t.Error(entries, err)
	}
}

func TestOddFilesAreSkipped(t *testing.T) {
	source, dest := t.TempDir(), t.TempDir()
	listener, err := net.Listen("unix", filepath.Join(source, "socket"))
	must(t, err)
	defer listener.Close()
	var skipped []string
	opts := Options{Meter: &Meter{}, Skipped: func(at, _ string) { skipped = append(skipped, path.Base(at)) }}
	_, err = Upload(context.Background(), dial(t), source, dest+"/up", opts)
	must(t, err)
	_, err = Download(context.Background(), dial(t), source, dest+"/down", opts)
	must(t, err)
	if diff := cmp.Diff([]string{"socket", "socket"}, skipped); diff != "" {
		t.Error(diff)
	}
}

// endless is a file that is never whole; after some bytes it calls half.
type endless struct {
	n    int
	half func()
}

func (e *endless) Read(p []byte) (int, error) {
	if e.n += len(p); e.n > 1<<20 {
		e.half()
	}
	return len(p), nil
}

func TestInterruptedTransfersLeaveNothing(t *testing.T) {
	dest := t.TempDir()
	why := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(context.Background())
	err := UploadStream(ctx, dial(t), &endless{half: func() { cancel(why) }}, dest+"/up", Options{Meter: &Meter{}})
	if !errors.Is(err, why) {
		t.Error(err)
	}

	big := filepath.Join(t.TempDir(), "big")
	must(t, os.WriteFile(big, bytes.Repeat([]byte("x"), 8<<20), 0o600))
	ctx, cancel = context.WithCancelCause(context.Background())
	meter := &Meter{}
	go func() {
		for meter.Done.Load() == 0 {
			time.Sleep(time.Millisecond)
		}
		cancel(why)
	}()
	if _, err := Download(ctx, dial(t), big, dest+"/down", Options{Meter: meter}); !errors.Is(err, why) {
		t.Error(err)
	}
	if entries, err := os.ReadDir(dest); err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestStreams(t *testing.T) {
	at := filepath.Join(t.TempDir(), "new", "file")
	must(t, UploadStream(context.Background(), dial(t), strings.NewReader("streamed"), at, Options{Meter: &Meter{}}))
	var out bytes.Buffer
	must(t, DownloadStream(context.Background(), dial(t), at, &out, Options{Meter: &Meter{}}))
	if out.String() != "streamed" {
		t.Errorf("%q", &out)
	}
	if err := DownloadStream(context.Background(), dial(t), at+"x", io.Discard, Options{Meter: &Meter{}}); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestNamesFromElsewhere(t *testing.T) {
	for name, want := range map[string]bool{
		"a": true, "..a": true, "a b": true, "-": true, "~": true,
		"": false, ".": false, "..": false, "/": false, "/a": false, "a/b": false, "../a": false, "a\x00": false,
	} {
		if got := acceptable(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}

func FuzzAcceptable(f *testing.F) {
	f.Add("..")
	f.Add("a/../../b")
	f.Fuzz(func(t *testing.T, name string) {
		if acceptable(name) && filepath.Dir(filepath.Join("/dir", name)) != "/dir" {
			t.Errorf("%q leaves its directory", name)
		}
	})
}
