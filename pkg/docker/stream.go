package docker

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"net"

	"github.com/moby/moby/api/pkg/stdcopy"
)

// frameHeader is the engine's header before each piece of output: the stream's
// number, three zero bytes, and the length as a big-endian 32-bit number.
const frameHeader = 8

// stream is the stdio of a process as a connection. It reads frames where they
// are asked for, without a goroutine, so that deadlines and Close act on Read
// as they do on the connection beneath.
type stream struct {
	net.Conn
	frames *bufio.Reader
	left   int             // bytes of the current frame
	kind   stdcopy.StdType // of the current frame
}

func (s *stream) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if s.left == 0 {
			// Peek keeps a part of a header that came before a deadline.
			h, err := s.frames.Peek(frameHeader)
			if err != nil {
				return 0, err
			}
			s.kind, s.left = stdcopy.StdType(h[0]), int(binary.BigEndian.Uint32(h[4:]))
			if _, err := s.frames.Discard(frameHeader); err != nil {
				return 0, err
			}
			continue
		}
		switch s.kind {
		case stdcopy.Stdin, stdcopy.Stdout:
			n, err := s.frames.Read(p[:min(len(p), s.left)])
			s.left -= n
			return n, err
		case stdcopy.Stderr:
			n, err := s.frames.Discard(s.left)
			s.left -= n
			if err != nil {
				return 0, err
			}
		case stdcopy.Systemerr:
			h, _ := s.frames.Peek(min(s.left, s.frames.Size()))
			return 0, fmt.Errorf("the engine ended the stream: %s", h)
		default:
			return 0, fmt.Errorf("the engine's stream is damaged: kind %d", s.kind)
		}
	}
}

// CloseWrite ends the process's input; its output can still be read.
func (s *stream) CloseWrite() error {
	if c, ok := s.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return net.ErrClosed
}
