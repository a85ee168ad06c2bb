package sandboxapi

import (
	"net"
	"strings"
	"testing"
)

func TestHintArrives(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	sent := make(chan error, 1)
	go func() { sent <- SendHint(t.Context(), listener.Addr().String(), "abc123") }()
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if id, err := ReadHint(conn); err != nil || id != "abc123" {
		t.Errorf("id %q (%v)", id, err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

func FuzzReadHint(f *testing.F) {
	for _, seed := range []string{"hello abc\n", "hello \n", "hello abc", "hello a b\n", "hello ABC\n", "hello " + strings.Repeat("a", 64) + "\n", "\x00\xff\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		id, err := ReadHint(strings.NewReader(line))
		if err == nil && (len(id) == 0 || len(id) > maxHint || !strings.HasPrefix(line, "hello "+id+"\n")) {
			t.Errorf("id %q of %q", id, line)
		}
	})
}
