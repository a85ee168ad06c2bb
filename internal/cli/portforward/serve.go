package portforward

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"openshell.ai/openshell/pkg/durable"
)

// Sandbox is a connection to a sandbox. *sandboxssh.Client is it.
type Sandbox interface {
	Dial(ctx context.Context, address string) (net.Conn, error)
	Wait() error
	Close() error
}

// ErrGone says that there is nothing to connect to any more, ever.
var ErrGone = errors.New("the sandbox is gone")

const (
	firstRetry = 200 * time.Millisecond
	lastRetry  = 5 * time.Second

	// dialTime is how long a connection may wait for a sandbox that is away.
	dialTime = 15 * time.Second
)

// Server is one forward.
type Server struct {
	Spec    Spec
	Dir     string
	Connect func(context.Context) (Sandbox, error)
	Log     *slog.Logger

	mu      sync.Mutex
	sandbox Sandbox       // nil: not connected
	changed chan struct{} // closed when sandbox changes
	report  Report
}

// Serve forwards until ctx ends, it is told to stop, or the sandbox is gone.
// listening is called once the port is open and the forward can be asked. A
// port that is taken is an error of net.
func (s *Server) Serve(ctx context.Context, listening func()) error {
	s.changed = make(chan struct{})
	s.report = Report{Spec: s.Spec, StartedAt: time.Now().UTC()}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	port, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Spec.Local)))
	if err != nil {
		return err
	}
	defer port.Close()
	control, r, err := s.openControl()
	if err != nil {
		return err
	}
	defer func() {
		control.Close()
		r.removeSocket(s.Dir)
		os.Remove(LogPath(s.Dir, s.Spec.Local))
		port.Close() // before the record goes, which is what Stop waits for
		os.Remove(recordPath(s.Dir, s.Spec.Local))
	}()
	var running sync.WaitGroup
	defer running.Wait()
	defer stop() // what runs ends before it is waited for
	context.AfterFunc(ctx, func() { port.Close(); control.Close() })
	running.Go(func() { s.answer(control, stop) })
	running.Go(func() {
		s.stay(ctx)
		stop()
	})
	listening()
	for {
		conn, err := port.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			s.Log.Warn("accept", "error", err)
			time.Sleep(firstRetry) // out of descriptors, most likely
			continue
		}
		running.Go(func() { s.carry(ctx, conn) })
	}
}

// openControl makes the socket and the record that tells of it. What a former
// forward of this port left is replaced: it cannot run, for the port is ours.
func (s *Server) openControl() (net.Listener, record, error) {
	path, err := socketFor(s.Dir, s.Spec.Local)
	if err != nil {
		return nil, record{}, err
	}
	os.Remove(path)
	control, err := net.Listen("unix", path)
	if err != nil {
		return nil, record{}, fmt.Errorf("control socket: %w", err)
	}
	r := record{s.Spec, path}
	if err := s.writeRecord(r); err != nil {
		control.Close()
		r.removeSocket(s.Dir)
		return nil, record{}, err
	}
	return control, r, nil
}

func (s *Server) writeRecord(r record) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return durable.Replace(recordPath(s.Dir, s.Spec.Local), data, 0o600)
}

// answer is the control socket's side of ask.
func (s *Server) answer(control net.Listener, stop func()) {
	for {
		conn, err := control.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			if conn.SetDeadline(time.Now().Add(controlTime)) != nil {
				return
			}
			question, err := bufio.NewReader(io.LimitReader(conn, 64)).ReadString('\n')
			if err != nil {
				return
			}
			if json.NewEncoder(conn).Encode(s.now()) != nil {
				return
			}
			if strings.TrimSpace(question) == askStop {
				stop()
			}
		}()
	}
}

func (s *Server) now() Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.report
}

// stay keeps a connection to the sandbox until ctx ends or the sandbox is gone.
func (s *Server) stay(ctx context.Context) {
	pause := firstRetry
	for ctx.Err() == nil {
		sandbox, err := s.Connect(ctx)
		if errors.Is(err, ErrGone) {
			s.Log.Info("sandbox is gone")
			return
		}
		if err != nil {
			s.set(nil, err)
			s.Log.Debug("not connected", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
			pause = min(2*pause, lastRetry)
			continue
		}
		pause = firstRetry
		s.set(sandbox, nil)
		ended := context.AfterFunc(ctx, func() { sandbox.Close() })
		err = sandbox.Wait()
		ended()
		sandbox.Close()
		s.set(nil, err)
	}
}

func (s *Server) set(sandbox Sandbox, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sandbox, s.report.Connected, s.report.Error = sandbox, sandbox != nil, ""
	if err != nil {
		s.report.Error = err.Error()
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

// connected is the sandbox, waited for until ctx ends.
func (s *Server) connected(ctx context.Context) (Sandbox, error) {
	for {
		s.mu.Lock()
		sandbox, changed := s.sandbox, s.changed
		s.mu.Unlock()
		if sandbox != nil {
			return sandbox, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-changed:
		}
	}
}

// carry is the life of one connection.
func (s *Server) carry(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	s.count(1)
	defer s.count(-1)
	dialing, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	sandbox, err := s.connected(dialing)
	if err != nil {
		return
	}
	there, err := sandbox.Dial(dialing, net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Spec.Port)))
	if err != nil {
		s.Log.Debug("connection refused", "error", err)
		return
	}
	defer there.Close()
	defer context.AfterFunc(ctx, func() { conn.Close(); there.Close() })()
	var copies sync.WaitGroup
	copies.Go(func() { pour(there, conn) })
	copies.Go(func() { pour(conn, there) })
	copies.Wait()
}

// pour copies until the end of from, which it passes on.
func pour(to, from net.Conn) {
	if _, err := io.Copy(to, from); err != nil {
		to.Close()
		from.Close()
		return
	}
	if half, ok := to.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		return
	}
	to.Close()
}

func (s *Server) count(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report.Open += n
}
