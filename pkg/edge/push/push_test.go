package push

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const token = "secret-token"

// plane is a control plane that answers what it is told to.
type plane struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	got    []string // "epoch/version size"
}

func newPlane(t *testing.T) *plane {
	p := &plane{status: http.StatusOK}
	p.Server = httptest.NewServer(http.HandlerFunc(p.serve))
	t.Cleanup(p.Close)
	return p
}

func (p *plane) serve(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.status != http.StatusOK {
		http.Error(w, "as told", p.status)
		return
	}
	if r.Header.Get("Authorization") != "Bearer "+token || r.URL.Path != "/gateway/data/push" || r.Header.Get("Content-Encoding") != "gzip" {
		http.Error(w, "not a push", http.StatusTeapot)
		return
	}
	var doc Document
	zip, err := gzip.NewReader(r.Body)
	if err == nil {
		err = json.NewDecoder(zip).Decode(&doc)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusTeapot)
		return
	}
	p.got = append(p.got, fmt.Sprintf("%s %d/%d %d", doc.GatewayID, doc.Epoch, doc.Version, len(doc.Data)))
}

func (p *plane) answer(status int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status = status
}

func (p *plane) pushes() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string{}, p.got...)
}

func newDeliverer(t *testing.T, p *plane, dir string) *Deliverer {
	t.Helper()
	tokenFile := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(tokenFile, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	spool, err := OpenSpool(dir)
	if err != nil {
		t.Fatal(err)
	}
	return NewDeliverer(spool, &Client{Base: p.URL, TokenFile: tokenFile, HTTP: p.Client()}, slog.New(slog.DiscardHandler))
}

func document(version int64) Document {
	return Document{GatewayID: "g1", Epoch: 7, Version: version, Data: json.RawMessage(`{}`)}
}

func want(t *testing.T, what string, got []string, wanted ...string) {
	t.Helper()
	if diff := cmp.Diff(append([]string{}, wanted...), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestPushDelivers(t *testing.T) {
	p := newPlane(t)
	d := newDeliverer(t, p, filepath.Join(t.TempDir(), "spool"))
	if kept, err := d.Push(t.Context(), document(1)); err != nil || !kept {
		t.Fatal(kept, err)
	}
	want(t, "pushes", p.pushes(), "g1 7/1 2")
	left, err := d.spool.Entries()
	if err != nil {
		t.Fatal(err)
	}
	want(t, "left", left)
}

func TestLargePush(t *testing.T) {
	random := make([]byte, 15<<20)
	rand.Read(random)
	data, err := json.Marshal(base64.StdEncoding.EncodeToString(random)) // 20 MB that do not shrink much
	if err != nil {
		t.Fatal(err)
	}
	p := newPlane(t)
	d := newDeliverer(t, p, t.TempDir())
	doc := document(1)
	doc.Data = data
	if _, err := d.Push(t.Context(), doc); err != nil {
		t.Fatal(err)
	}
	want(t, "pushes", p.pushes(), fmt.Sprintf("g1 7/1 %d", len(data)))
}

func TestWhatCannotBePushedIsKeptAndSentInOrder(t *testing.T) {
	p := newPlane(t)
	dir := t.TempDir()
	d := newDeliverer(t, p, dir)
	for i, status := range []int{http.StatusInternalServerError, http.StatusServiceUnavailable, http.StatusUnauthorized, http.StatusTooManyRequests} {
		p.answer(status)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		doc := document(1)
		doc.Epoch = int64(i + 1)
		if kept, err := d.Push(ctx, doc); err == nil || !kept {
			t.Errorf("%d: kept %t, %v", status, kept, err)
		}
		cancel()
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.gz"))
	if err != nil || len(files) != 4 {
		t.Fatalf("spool has %v, %v", files, err)
	}
	for _, file := range files {
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", file, info.Mode(), err)
		}
	}
	p.answer(http.StatusOK)
	// The next process sends them, the oldest first, before its own.
	if _, err := newDeliverer(t, p, dir).Push(t.Context(), document(5)); err != nil {
		t.Fatal(err)
	}
	want(t, "pushes", p.pushes(), "g1 1/1 2", "g1 2/1 2", "g1 3/1 2", "g1 4/1 2", "g1 7/5 2")
}

func TestANewerSnapshotTakesThePlaceOfTheOlderOnesOfItsEpoch(t *testing.T) {
	p := newPlane(t)
	d := newDeliverer(t, p, t.TempDir())
	other := document(9)
	other.Epoch = 6
	for _, doc := range []Document{other, document(1), document(2), document(3)} {
		if err := d.spool.Add(doc); err != nil {
			t.Fatal(err)
		}
	}
	waiting, err := d.spool.Entries()
	if err != nil || len(waiting) != 2 {
		t.Errorf("waiting: %v, %v", waiting, err)
	}
	// One that is superseded while others are sent stops nothing.
	if err := d.send(t.Context(), "000000000002-7-1.json.gz"); !errors.Is(err, errSuperseded) {
		t.Errorf("sending what is gone: %v", err)
	}
	if err := d.Once(t.Context()); err != nil {
		t.Fatal(err)
	}
	want(t, "pushes", p.pushes(), "g1 6/9 2", "g1 7/3 2")
}

func TestOnlyTheNewestThatWereRefusedAreKept(t *testing.T) {
	p := newPlane(t)
	dir := t.TempDir()
	d := newDeliverer(t, p, dir)
	p.answer(http.StatusConflict)
	for n := range maxRefused + 5 {
		if _, err := d.Push(t.Context(), document(int64(n+1))); err != nil {
			t.Fatal(err)
		}
	}
	aside, err := filepath.Glob(filepath.Join(dir, "refused", "*"))
	if err != nil || len(aside) != maxRefused {
		t.Errorf("%d are kept, %v", len(aside), err)
	}
	for _, name := range aside {
		if strings.HasSuffix(name, "-7-5.json.gz") || strings.HasSuffix(name, "-7-1.json.gz") {
			t.Errorf("%s is kept", name)
		}
	}
}

func TestPushRetries(t *testing.T) {
	p := newPlane(t)
	d := newDeliverer(t, p, t.TempDir())
	p.answer(http.StatusBadGateway)
	done := make(chan error)
	go func() { _, err := d.Push(t.Context(), document(1)); done <- err }()
	time.AfterFunc(300*time.Millisecond, func() { p.answer(http.StatusOK) })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	want(t, "pushes", p.pushes(), "g1 7/1 2")
}

func TestWhatIsRefusedForEverBlocksNothing(t *testing.T) {
	p := newPlane(t)
	dir := t.TempDir()
	d := newDeliverer(t, p, dir)
	p.answer(http.StatusConflict) // of an old epoch
	if _, err := d.Push(t.Context(), document(1)); err != nil {
		t.Fatal(err)
	}
	p.answer(http.StatusOK)
	if _, err := d.Push(t.Context(), document(2)); err != nil {
		t.Fatal(err)
	}
	want(t, "pushes", p.pushes(), "g1 7/2 2")
	if aside, err := filepath.Glob(filepath.Join(dir, "refused", "*-7-1.json.gz")); err != nil || len(aside) != 1 {
		t.Errorf("set aside: %v, %v", aside, err)
	}
}

func TestSpoolClearsHalves(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{".new-123", "notes.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := OpenSpool(dir)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := s.Entries()
	if err != nil {
		t.Fatal(err)
	}
	want(t, "entries", entries)
	if _, err := os.Stat(filepath.Join(dir, ".new-123")); err == nil {
		t.Error("half an entry is left")
	}
	if _, err := os.Stat(filepath.Join(dir, "notes.txt")); err != nil {
		t.Error("another's file is gone")
	}
}

func TestReadyAnnounces(t *testing.T) {
	var got, path string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		got, path = string(bytes.TrimSpace(data)), r.URL.Path
	}))
	defer server.Close()
	p := &plane{Server: server}
	c := newDeliverer(t, p, t.TempDir()).client
	if err := c.Ready(t.Context(), Announcement{GatewayID: "g1", Epoch: 7, Build: "dev"}); err != nil {
		t.Fatal(err)
	}
	want(t, "request", []string{path, got}, "/gateway/ready", `{"gateway_id":"g1","epoch":7,"build":"dev"}`)
}

func TestTokenFiles(t *testing.T) {
	for name, c := range map[string]struct {
		content string
		mode    os.FileMode
		ok      bool
	}{
		"good": {"abc.def\n", 0o600, true}, "others may read": {"abc\n", 0o640, false}, "empty": {"\n", 0o600, false},
		"two lines": {"abc\ndef\n", 0o600, false}, "header": {"abc\r\nX: y", 0o600, false},
	} {
		path := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(path, []byte(c.content), c.mode); err != nil {
			t.Fatal(err)
		}
		secret, err := ReadSecret(path)
		if (err == nil) != c.ok || err != nil && strings.Contains(err.Error(), "abc") {
			t.Errorf("%s: %q, %v", name, secret, err)
		}
	}
}

func TestCheckBase(t *testing.T) {
	for base, ok := range map[string]bool{
		"https://ganymede.example": true, "http://10.0.0.1:8080/api": true,
		"": false, "ganymede.example": false, "ftp://x": false, "https://": false, "https://u:p@x": false, "https://x?y": false, "https://x#y": false,
	} {
		if err := CheckBase(base); (err == nil) != ok {
			t.Errorf("%q: %v", base, err)
		}
	}
}
