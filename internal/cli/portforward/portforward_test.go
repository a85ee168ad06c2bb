package portforward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"openshell.ai/openshell/pkg/fault"
)

// box is a sandbox of this machine, whose connection can be cut.
type box struct{ cut chan struct{} }

func (b *box) Dial(ctx context.Context, address string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", address)
}

func (b *box) Wait() error {
	<-b.cut
	return io.EOF
}

func (b *box) Close() error {
	select {
	case <-b.cut:
	default:
		close(b.cut)
	}
	return nil
}

// echo is a server that says back what it is told, and its port.
func echo(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				io.Copy(conn, conn)
				conn.Close()
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// serve runs a forward until the test ends; ended is closed when it does.
func serve(t *testing.T, dir string, spec Spec, connect func(context.Context) (Sandbox, error)) (ended chan error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{Spec: spec, Dir: dir, Connect: connect, Log: slog.New(slog.DiscardHandler)}
	listens := make(chan struct{})
	ended = make(chan error, 1)
	go func() { ended <- s.Serve(ctx, func() { close(listens) }) }()
	t.Cleanup(cancel)
	select {
	case <-listens:
	case err := <-ended:
		t.Fatalf("it ended at once: %v", err)
	}
	return ended
}

func talk(local int, text string) (string, error) {
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", local))
	if err != nil {
		return "", err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(conn, text)
	conn.(*net.TCPConn).CloseWrite()
	answer, err := io.ReadAll(conn)
	return string(answer), err
}

func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func TestForwardOutlivesItsConnectionAndEndsWithItsSandbox(t *testing.T) {
	dir, port, local := t.TempDir(), echo(t), freePort(t)
	boxes, gone := make(chan *box, 1), make(chan struct{})
	attempts := 0
	ended := serve(t, dir, Spec{Sandbox: "web", Local: local, Port: port}, func(context.Context) (Sandbox, error) {
		select {
		case <-gone:
			return nil, ErrGone
		default:
		}
		if attempts++; attempts == 1 {
			return nil, errors.New("not yet")
		}
		b := &box{make(chan struct{})}
		boxes <- b
		return b, nil
	})
	// The first connection waits for the sandbox.
	if got, err := talk(local, "hello"); err != nil || got != "hello" {
		t.Fatalf("%q, %v", got, err)
	}
	reports, err := List(dir)
	if err != nil || len(reports) != 1 || reports[0].Local != local || reports[0].Port != port || !reports[0].Connected {
		t.Fatalf("%+v, %v", reports, err)
	}
	(<-boxes).Close()
	if got, err := talk(local, "again"); err != nil || got != "again" {
		t.Errorf("after a cut: %q, %v", got, err)
	}
	close(gone)
	(<-boxes).Close()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it goes on without its sandbox")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestStopFreesThePort(t *testing.T) {
	dir, local := t.TempDir(), freePort(t)
	away := func(ctx context.Context) (Sandbox, error) { return nil, errors.New("the gateway is away") }
	ended := serve(t, dir, Spec{Sandbox: "web", Local: local, Port: 1}, away)
	await(t, "it says why it waits", func() bool {
		reports, err := List(dir)
		return err == nil && len(reports) == 1 && !reports[0].Connected && reports[0].Error == "the gateway is away"
	})
	// one that waits is cut off, and a second forward of the port refused
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", local))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var inUse *net.OpError
	second := &Server{Spec: Spec{Local: local}, Dir: dir, Log: slog.New(slog.DiscardHandler)}
	if err := second.Serve(t.Context(), func() {}); !errors.As(err, &inUse) || inUse.Op != "listen" {
		t.Errorf("two on one port: %v", err)
	}
	if err := Stop(dir, local); err != nil {
		t.Fatal(err)
	}
	if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", local)); err != nil {
		t.Errorf("the port is still taken: %v", err)
	} else {
		l.Close()
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := Stop(dir, local); !fault.HasID(err, fault.ForwardAbsent) {
		t.Errorf("stopped twice: %v", err)
	}
}

func TestWhatACrashLeavesIsNoForward(t *testing.T) {
	dir := t.TempDir()
	// a socket that nobody listens on any more, and one that is gone
	dead := filepath.Join(dir, "18001.sock")
	l, err := net.Listen("unix", dead)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	for name, content := range map[string]string{
		"18001.json": fmt.Sprintf(`{"localPort":18001,"socket":%q}`, dead),
		"18002.json": `{"localPort":18002,"socket":"/nonexistent/x"}`,
		"notes.json": `{}`,
		"18003.log":  "",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if reports, err := List(dir); err != nil || len(reports) > 0 {
		t.Errorf("%v, %v", reports, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	if got := strings.Join(names, " "); got != "18003.log notes.json" {
		t.Errorf("left: %s", got)
	}
	if reports, err := List(filepath.Join(dir, "none")); err != nil || len(reports) > 0 {
		t.Errorf("%v, %v", reports, err)
	}
}

func TestADamagedRecordIsNamed(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(recordPath(dir, 18001), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := List(dir); !fault.HasID(err, fault.HostFiles) || !strings.Contains(err.Error(), "18001.json") {
		t.Error(err)
	}
}

func TestLongDirectories(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long/", 30))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	local := freePort(t)
	serve(t, dir, Spec{Local: local}, func(ctx context.Context) (Sandbox, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	if reports, err := List(dir); err != nil || len(reports) != 1 {
		t.Errorf("%v, %v", reports, err)
	}
	if err := Stop(dir, local); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
