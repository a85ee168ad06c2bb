package release

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// newRelease writes a complete release, told apart by content.
func newRelease(t *testing.T, content string) string {
	t.Helper()
	dir := t.TempDir()
	for _, file := range needed {
		mode := os.FileMode(0o644)
		if file.executable {
			mode = 0o755
		}
		write(t, filepath.Join(dir, file.path), content, mode)
	}
	return dir
}

func write(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

func newKeys(t *testing.T) (ed25519.PrivateKey, ed25519.PublicKey) {
	t.Helper()
	dir := t.TempDir()
	if err := WriteKeys(dir); err != nil {
		t.Fatal(err)
	}
	private, err := ReadPrivateKey(filepath.Join(dir, PrivateKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	public, err := ReadPublicKey(filepath.Join(dir, PublicKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	return private, public
}

func TestKeys(t *testing.T) {
	dir := t.TempDir()
	if err := WriteKeys(dir); err != nil {
		t.Fatal(err)
	}
	private := filepath.Join(dir, PrivateKeyFile)
	info, err := os.Stat(private)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("private key: mode %v, %v", info.Mode(), err)
	}
	before, _ := os.ReadFile(private)
	if err := WriteKeys(dir); err == nil || !strings.Contains(err.Error(), "is kept") {
		t.Errorf("a second key: %v", err)
	}
	if after, _ := os.ReadFile(private); !bytes.Equal(before, after) {
		t.Error("the key was replaced")
	}
	os.Chmod(private, 0o640)
	if _, err := ReadPrivateKey(private); err == nil || !strings.Contains(err.Error(), "others may read it") {
		t.Errorf("a key that others may read: %v", err)
	}
	if _, err := ReadPublicKey(private); err == nil {
		t.Error("a private key was taken for a public one")
	}
}

// The same release and commit give the same bytes, whenever and by whom it is packed.
func TestPackIsDeterministic(t *testing.T) {
	key, _ := newKeys(t)
	var archives [2][]byte
	var manifests [2]Manifest
	for i := range archives {
		out := t.TempDir()
		manifest, err := Pack(newRelease(t, "x"), out, "abc", key)
		if err != nil {
			t.Fatal(err)
		}
		manifests[i] = manifest
		if archives[i], err = os.ReadFile(filepath.Join(out, currentLink, manifest.File)); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(archives[0], archives[1]) {
		t.Error("the archives differ")
	}
	if diff := cmp.Diff(manifests[0], manifests[1]); diff != "" {
		t.Error(diff)
	}
}

func TestPackRefuses(t *testing.T) {
	key, _ := newKeys(t)
	tests := map[string]struct {
		change func(dir string)
		commit string
		want   string
	}{
		"incomplete":     {func(dir string) { os.Remove(filepath.Join(dir, "app/main.sh")) }, "abc", "app/main.sh is missing"},
		"not executable": {func(dir string) { os.Chmod(filepath.Join(dir, "bin/app-gateway"), 0o644) }, "abc", "cannot be executed"},
		"link":           {func(dir string) { os.Symlink("/etc/passwd", filepath.Join(dir, "app/link")) }, "abc", "neither a file nor a directory"},
		"no commit":      {func(string) {}, "", "commit"},
		"hostile commit": {func(string) {}, "a\nb", "commit"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir, out := newRelease(t, "x"), t.TempDir()
			test.change(dir)
			if _, err := Pack(dir, out, test.commit, key); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if left, _ := os.ReadDir(out); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

func TestInstall(t *testing.T) {
	key, public := newKeys(t)
	out, root := t.TempDir(), t.TempDir()
	server := httptest.NewServer(Handler(out))
	defer server.Close()
	source := Source{server.URL, public}
	if err := os.Symlink("/built/in", filepath.Join(root, currentLink)); err != nil {
		t.Fatal(err)
	}
	var previous = "/built/in"
	for _, build := range []string{"one", "two", "three"} {
		manifest, err := Pack(newRelease(t, build), out, build, key)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Install(t.Context(), source, root)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(Installed{build, manifest.SHA256, true, previous}, got); diff != "" {
			t.Error(diff)
		}
		if data, err := os.ReadFile(filepath.Join(root, "current/bin/app-gateway")); string(data) != build {
			t.Errorf("installed %q: %v", data, err)
		}
		if data, err := os.ReadFile(filepath.Join(root, pendingFile)); string(data) != previous+"\n" {
			t.Errorf("pending is %q: %v", data, err)
		}
		previous = "releases/" + manifest.SHA256
	}
	again, err := Install(t.Context(), source, root)
	if err != nil || again.Changed {
		t.Errorf("again: %+v, %v", again, err)
	}
	if kept, _ := os.ReadDir(filepath.Join(root, releasesDir)); len(kept) != 2 {
		t.Errorf("kept: %v", kept)
	}
	info, err := os.Stat(filepath.Join(root, "current/app/main.sh"))
	if err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("mode of a script: %v, %v", info.Mode(), err)
	}
}

// A release that was damaged is unpacked again.
func TestInstallRepairs(t *testing.T) {
	key, public := newKeys(t)
	out, root := t.TempDir(), t.TempDir()
	server := httptest.NewServer(Handler(out))
	defer server.Close()
	if _, err := Pack(newRelease(t, "x"), out, "abc", key); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := Install(t.Context(), Source{server.URL, public}, root); err != nil {
			t.Fatal(err)
		}
		if err := Check(filepath.Join(root, currentLink)); err != nil {
			t.Error(err)
		}
		os.Remove(filepath.Join(root, "current/app/main.sh"))
	}
}

// Whatever is wrong with a build, nothing changes.
func TestInstallRefuses(t *testing.T) {
	key, public := newKeys(t)
	_, stranger := newKeys(t)
	out := t.TempDir()
	manifest, err := Pack(newRelease(t, "x"), out, "abc", key)
	if err != nil {
		t.Fatal(err)
	}
	archive, _ := os.ReadFile(filepath.Join(out, currentLink, manifest.File))
	serving := func(change func(path string, body []byte) (int, []byte)) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			recorder := httptest.NewRecorder()
			Handler(out).ServeHTTP(recorder, r)
			status, body := change(r.URL.Path, recorder.Body.Bytes())
			w.WriteHeader(status)
			w.Write(body)
		})
	}
	on := func(suffix string, to []byte) http.Handler {
		return serving(func(path string, body []byte) (int, []byte) {
			if strings.HasSuffix(path, suffix) {
				body = to
			}
			return http.StatusOK, body
		})
	}
	tests := map[string]struct {
		handler http.Handler
		key     ed25519.PublicKey
		want    string
	}{
		"signed by another":  {Handler(out), stranger, "signature"},
		"no signature":       {on(".sig", nil), public, "signature"},
		"changed manifest":   {on("manifest.json", []byte(`{"commit":"evil"}`)), public, "signature"},
		"endless manifest":   {on("manifest.json", make([]byte, maxManifest+1)), public, "longer than"},
		"truncated archive":  {on(".gz", archive[:len(archive)/2]), public, "bytes of the manifest"},
		"archive with more":  {on(".gz", append(bytes.Clone(archive), 0)), public, "bytes of the manifest"},
		"corrupt archive":    {on(".gz", append(archive[:len(archive)-1:len(archive)-1], '?')), public, "sha256"},
		"nothing packed":     {Handler(t.TempDir()), public, "404"},
		"redirect elsewhere": {http.RedirectHandler("http://127.0.0.1:1/", http.StatusFound), public, "redirects"},
		"archive not there": {serving(func(path string, body []byte) (int, []byte) {
			if strings.HasSuffix(path, ".gz") {
				return http.StatusNotFound, nil
			}
			return http.StatusOK, body
		}), public, errMoved.Error()},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			os.Symlink("/built/in", filepath.Join(root, currentLink))
			server := httptest.NewServer(test.handler)
			defer server.Close()
			if _, err := Install(t.Context(), Source{server.URL, test.key}, root); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if target, _ := os.Readlink(filepath.Join(root, currentLink)); target != "/built/in" {
				t.Errorf("current is %s", target)
			}
			if left, _ := os.ReadDir(filepath.Join(root, releasesDir)); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
	for _, url := range []string{"", "ftp://host", "http://", "http://user:secret@host", "host:80", "http://host?q"} {
		if _, err := Install(t.Context(), Source{url, public}, t.TempDir()); err == nil || !strings.Contains(err.Error(), "url") {
			t.Errorf("url %q: %v", url, err)
		}
	}
}

// While builds are packed, whoever fetches gets a whole one.
func TestInstallWhilePacking(t *testing.T) {
	key, public := newKeys(t)
	out, root := t.TempDir(), t.TempDir()
	server := httptest.NewServer(Handler(out))
	defer server.Close()
	releases := []string{newRelease(t, "one"), newRelease(t, "two")}
	pack := func(i int) {
		if _, err := Pack(releases[i%2], out, "abc", key); err != nil {
			t.Error(err)
		}
	}
	pack(0)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ctx.Err() == nil; i++ {
			pack(i)
		}
	}()
	for range 30 {
		_, err := Install(t.Context(), Source{server.URL, public}, root)
		// Three builds in a row may be packed during one fetch; a half one is never seen.
		if err != nil && !strings.Contains(err.Error(), errMoved.Error()) && !strings.Contains(err.Error(), errSignature.Error()) {
			t.Error(err)
		}
	}
	cancel()
	<-done
}

func TestHandlerServesNothingElse(t *testing.T) {
	key, _ := newKeys(t)
	out := t.TempDir()
	manifest, err := Pack(newRelease(t, "x"), out, "abc", key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(out, "secret"), "x", 0o644)
	write(t, filepath.Join(out, currentLink, "other.tar.gz"), "x", 0o644)
	server := httptest.NewServer(Handler(out))
	defer server.Close()
	for path, want := range map[string]int{
		"/manifest.json":                      http.StatusOK,
		"/manifest.json.sig":                  http.StatusOK,
		"/" + manifest.File:                   http.StatusOK,
		"/":                                   http.StatusNotFound,
		"/current":                            http.StatusNotFound,
		"/secret":                             http.StatusNotFound,
		"/../secret":                          http.StatusNotFound,
		"/%2e%2e/secret":                      http.StatusNotFound,
		"/other.tar.gz":                       http.StatusNotFound,
		"/current/manifest.json":              http.StatusNotFound,
		"/" + manifest.File + "/../../secret": http.StatusNotFound,
	} {
		response, err := http.Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, response.Body)
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, response.StatusCode, want)
		}
	}
	response, err := http.Post(server.URL+"/manifest.json", "", nil)
	if err != nil || response.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %v %v", response.Status, err)
	}
}

func FuzzParseManifest(f *testing.F) {
	f.Add([]byte(`{"commit":"abc","sha256":"` + strings.Repeat("0", 64) + `","size":1,"file":"gateway.tar.gz"}`))
	f.Add([]byte(`{"commit":"abc","file":"../x.tar.gz","size":-1}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ParseManifest(data)
		if err != nil {
			return
		}
		if m.Size <= 0 || m.Size > MaxArchive || filepath.Base(m.File) != m.File || strings.HasPrefix(m.File, ".") || len(m.SHA256) != 64 || m.Commit == "" {
			t.Errorf("accepted: %+v", m)
		}
	})
}
