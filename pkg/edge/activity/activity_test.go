package activity

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestReceiveCountsMessages(t *testing.T) {
	path := filepath.Join(t.TempDir(), "activity.sock")
	if err := os.WriteFile(path, []byte("left by the process before"), 0o600); err != nil {
		t.Fatal(err)
	}
	conn, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o666 {
		t.Errorf("mode is %v, %v: nginx is not root", info.Mode(), err)
	}
	seen, ended := make(chan struct{}, 10), make(chan struct{})
	go func() { Receive(conn, func() { seen <- struct{}{} }); close(ended) }()
	client, err := net.Dial("unixgram", path)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, message := range []string{"<190>nginx: web", strings.Repeat("x", 4096), "\x00"} {
		if _, err := client.Write([]byte(message)); err != nil {
			t.Fatal(err)
		}
		select {
		case <-seen:
		case <-time.After(10 * time.Second):
			t.Fatalf("%.20q was not seen", message)
		}
	}
	conn.Close()
	<-ended
}

func TestBusy(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		want int
		ok   bool
	}{
		"alone":     {"Active connections: 1 \nserver accepts handled requests\n 9 9 9 \nReading: 0 Writing: 1 Waiting: 0 \n", 0, true},
		"upgraded":  {"Active connections: 5 \nserver accepts handled requests\n 9 9 9 \nReading: 1 Writing: 3 Waiting: 1 \n", 2, true},
		"empty":     {"", 0, false},
		"cut":       {"Reading: 0 Writing:", 0, false},
		"no number": {"Writing: many", 0, false},
		"negative":  {"Writing: -2", 0, false},
	} {
		socket := filepath.Join(t.TempDir(), "s")
		listener, err := net.Listen("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/stub_status" {
				w.Write([]byte(c.body))
			}
		})}
		go server.Serve(listener)
		got, err := NewStatus(socket, "/stub_status").Busy(t.Context())
		if got != c.want || (err == nil) != c.ok {
			t.Errorf("%s: %d, %v, want %d", name, got, err, c.want)
		}
		server.Close()
	}
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	if _, err := NewStatus(filepath.Join(t.TempDir(), "none"), "/").Busy(t.Context()); err == nil {
		t.Error("nginx that is not there was asked")
	}
}

func TestWatchNeedsTwoLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		looks := []int{1, 0, 1, -1, 1, 0, 2, 2, 2}
		seen := 0
		busy := func(context.Context) (int, error) {
			if len(looks) == 0 {
				return 0, nil
			}
			now := looks[0]
			looks = looks[1:]
			if now < 0 {
				return 0, errors.New("no nginx")
			}
			return now, nil
		}
		go Watch(t.Context(), time.Second, busy, func() { seen++ })
		time.Sleep(20*time.Second + time.Millisecond)
		synctest.Wait()
		if seen != 2 {
			t.Errorf("seen %d times, want at the 2nd and 3rd of three in a row", seen)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add("Reading: 0 Writing: 1 Waiting: 0")
	f.Fuzz(func(t *testing.T, body string) {
		if n, err := parse(strings.NewReader(body)); n < 0 || err != nil && n != 0 {
			t.Errorf("%d, %v", n, err)
		}
	})
}
