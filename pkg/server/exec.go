package server

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	openshellv1 "openshell.ai/openshell/pkg/api/openshell/v1"
	"openshell.ai/openshell/pkg/sandboxssh"
	"openshell.ai/openshell/pkg/server/translate"
)

const (
	chunk       = 64 << 10         // of output in one event, at most
	timedOut    = 124              // exit code, as that of timeout(1)
	killGrace   = 2 * time.Second  // for a killed process to end
	findTimeout = 20 * time.Second // for a sandbox and its supervisor
)

// ExecSandbox runs a process and streams its output; the last event is its
// exit code. A process that exceeds its time, or whose client has gone, is
// ended.
func (a *api) ExecSandbox(request *openshellv1.ExecSandboxRequest, stream openshellv1.OpenShell_ExecSandboxServer) error {
	e, err := translate.Exec(request)
	if err != nil {
		return err
	}
	agent, name, err := a.reach(stream.Context(), "sandbox_id", request.GetSandboxId())
	if err != nil {
		return err
	}
	defer agent.Close()
	run := newExecRun(stream, time.Duration(request.GetTimeoutSeconds())*time.Second)
	defer run.end()
	code, err := agent.Exec(run.ctx, e, sandboxssh.Streams{
		Stdin: bytes.NewReader(request.GetStdin()), Stdout: outputWriter{run, stdout}, Stderr: outputWriter{run, stderr},
		Signals: run.signals,
	})
	var refused *sandboxssh.Refused
	switch {
	case stream.Context().Err() != nil:
		return stream.Context().Err()
	case run.late.Load():
		code = timedOut
	case errors.As(err, &refused):
		return err
	case err != nil:
		a.log.Info("exec ended early", "sandbox", name, "error", err)
		return aborted("the connection to sandbox %s was lost before the command ended", name)
	}
	return run.send(&openshellv1.ExecSandboxEvent{
		Payload: &openshellv1.ExecSandboxEvent_Exit{Exit: &openshellv1.ExecSandboxExit{ExitCode: int32(code)}},
	})
}

// reach finds a sandbox and connects to its supervisor, within bounds that a
// stream does not have.
func (a *api) reach(ctx context.Context, field, id string) (agent Agent, name string, err error) {
	ctx, cancel := bounded(ctx, findTimeout)
	defer cancel()
	s, err := a.ready(ctx, field, id)
	if err != nil {
		return nil, "", err
	}
	agent, err = a.connect(ctx, s)
	return agent, s.Name, err
}

// execRun is a process in a sandbox and the stream its output goes to.
type execRun struct {
	ctx     context.Context // outlives the client's: the process has to be told
	signals chan string
	late    atomic.Bool // the process exceeded its time
	end     func()

	mu     sync.Mutex // stdout and stderr come at the same time
	stream openshellv1.OpenShell_ExecSandboxServer
}

// newExecRun kills the process after its time, if that is not 0, and when the
// client has gone. A supervisor that does not answer to that is left alone.
func newExecRun(stream openshellv1.OpenShell_ExecSandboxServer, most time.Duration) *execRun {
	ctx, cancel := context.WithCancel(context.WithoutCancel(stream.Context()))
	r := &execRun{ctx: ctx, signals: make(chan string, 1), stream: stream}
	kill := sync.OnceFunc(func() {
		r.signals <- "KILL"
		time.AfterFunc(killGrace, cancel)
	})
	stop := context.AfterFunc(stream.Context(), kill)
	timer := time.NewTimer(most)
	if most == 0 {
		timer.Stop()
	}
	go func() {
		select {
		case <-timer.C:
			r.late.Store(true)
			kill()
		case <-ctx.Done():
		}
	}()
	r.end = func() { stop(); timer.Stop(); cancel() }
	return r
}

func (r *execRun) send(event *openshellv1.ExecSandboxEvent) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stream.Send(event)
}

func stdout(data []byte) *openshellv1.ExecSandboxEvent {
	return &openshellv1.ExecSandboxEvent{Payload: &openshellv1.ExecSandboxEvent_Stdout{Stdout: &openshellv1.ExecSandboxStdout{Data: data}}}
}

func stderr(data []byte) *openshellv1.ExecSandboxEvent {
	return &openshellv1.ExecSandboxEvent{Payload: &openshellv1.ExecSandboxEvent_Stderr{Stderr: &openshellv1.ExecSandboxStderr{Data: data}}}
}

// outputWriter sends output. A client that does not read holds up the process,
// as a terminal does. Output for a client that has gone is dropped: an error
// would end the channel before the process is killed through it.
type outputWriter struct {
	run   *execRun
	event func([]byte) *openshellv1.ExecSandboxEvent
}

func (w outputWriter) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0 && w.run.stream.Context().Err() == nil; {
		part := rest[:min(chunk, len(rest))]
		if err := w.run.send(w.event(part)); err != nil && w.run.stream.Context().Err() == nil {
			return len(p) - len(rest), err
		}
		rest = rest[len(part):]
	}
	return len(p), nil
}
