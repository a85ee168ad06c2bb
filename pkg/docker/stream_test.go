package docker

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
)

func frame(kind stdcopy.StdType, data string) []byte {
	h := make([]byte, frameHeader, frameHeader+len(data))
	h[0] = byte(kind)
	binary.BigEndian.PutUint32(h[4:], uint32(len(data)))
	return append(h, data...)
}

// pipe is a stream and the engine's end of its connection.
func pipe(t *testing.T) (*stream, net.Conn) {
	client, server := net.Pipe()
	t.Cleanup(func() { _ = client.Close(); _ = server.Close() })
	return &stream{Conn: client, frames: bufio.NewReader(client)}, server
}

func TestStreamReadsStdoutAlone(t *testing.T) {
	s, server := pipe(t)
	go func() {
		for _, f := range [][]byte{
			frame(stdcopy.Stderr, strings.Repeat("noise", 5000)), frame(stdcopy.Stdout, "one "),
			frame(stdcopy.Stdout, ""), frame(stdcopy.Stderr, "noise"), frame(stdcopy.Stdout, "two"),
		} {
			_, _ = server.Write(f)
		}
		_ = server.Close()
	}()
	data, err := io.ReadAll(s)
	if err != nil || string(data) != "one two" {
		t.Errorf("%q, %v", data, err)
	}
}

func TestStreamGoesOnAfterADeadlineWithinAHeader(t *testing.T) {
	s, server := pipe(t)
	f := frame(stdcopy.Stdout, "late")
	sent := make(chan struct{})
	go func() { _, _ = server.Write(f[:3]); close(sent) }()
	if err := s.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 8)
	if _, err := s.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("err %v", err)
	}
	<-sent
	if err := s.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = server.Write(f[3:]) }()
	n, err := io.ReadFull(s, buf[:4])
	if err != nil || string(buf[:n]) != "late" {
		t.Errorf("%q, %v", buf[:n], err)
	}
}

func TestStreamReportsTheEnginesOwnError(t *testing.T) {
	s, server := pipe(t)
	go func() { _, _ = server.Write(frame(stdcopy.Systemerr, "lost the container")); _ = server.Close() }()
	if _, err := s.Read(make([]byte, 8)); err == nil || !strings.Contains(err.Error(), "lost the container") {
		t.Errorf("err %v", err)
	}
}

func TestCloseEndsARead(t *testing.T) {
	s, _ := pipe(t)
	done := make(chan error, 1)
	go func() { _, err := s.Read(make([]byte, 8)); done <- err }()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err == nil {
		t.Error("read went on")
	}
}

func FuzzStream(f *testing.F) {
	f.Add(append(frame(stdcopy.Stdout, "a"), frame(stdcopy.Stderr, "b")...))
	f.Add([]byte{9, 0, 0, 0, 0, 0, 0, 1, 1})
	f.Add([]byte{1, 0, 0, 0, 255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, data []byte) {
		s := &stream{frames: bufio.NewReader(strings.NewReader(string(data)))}
		if out, _ := io.ReadAll(s); len(out) > len(data) {
			t.Errorf("%d bytes out of %d", len(out), len(data))
		}
	})
}
