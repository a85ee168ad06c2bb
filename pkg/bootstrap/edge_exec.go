package bootstrap

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/edge"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gateway"
	"openshell.ai/openshell/pkg/nodeapi"
)

// appGateway is the program of the edge's current release.
const appGateway = edge.Root + "/current/bin/app-gateway"

// edgeExec is a command to run with the environment of the edge's scripts.
type edgeExec struct {
	argv  []string
	env   []string
	lines func(line []byte) // nil: the output is kept; else it is told each line
}

// edgeDone is how one ended.
type edgeDone struct {
	code    int
	out     []byte
	errText string
}

// complaint is the last thing a command said on stderr.
func (d edgeDone) complaint() error {
	if line := docker.LastLine(d.errText); line != "" {
		return errors.New(strings.TrimPrefix(line, "app-gateway: "))
	}
	return fmt.Errorf("exit code %d", d.code)
}

// edgeCommand runs a command in the node. An image of before there was an edge
// does not know how.
func (m *Manager) edgeCommand(ctx context.Context, name gateway.Name, container string, e edgeExec) (edgeDone, error) {
	var out, complaint bytes.Buffer
	spec := docker.ExecSpec{Argv: append([]string{nodeapi.Binary, nodeapi.CmdEdge}, e.argv...), Env: e.env, Stdout: &out, Stderr: &complaint}
	if e.lines != nil {
		spec.Stdout = &lineWriter{tell: e.lines}
	}
	code, err := m.Engine.Exec(ctx, container, spec)
	if err != nil {
		return edgeDone{}, stepError(ctx, err)
	}
	const usage = 2
	if code == usage && out.Len() == 0 && strings.HasPrefix(complaint.String(), "usage: openshell-node ") {
		return edgeDone{}, fault.New(fault.Unsupported, fault.ExitFailure, "the node image of gateway %s has no edge", name).
			Hint("an empty gateway of this version has one: `openshell gateway start NAME`")
	}
	return edgeDone{code: code, out: out.Bytes(), errText: complaint.String()}, nil
}

const (
	settlePoll = 200 * time.Millisecond
	settleTime = 2 * nodeapi.EdgePatience
)

// settles reports whether an edge was coming up and is not any more, for which it
// waits: what it refused to do is worth another attempt then.
func (m *Manager) settles(ctx context.Context, container string) bool {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	for waited := false; ; waited = true {
		s, err := m.Node.Status(ctx, container)
		if err != nil || s.Edge == nil {
			return false
		}
		if s.Edge.State != nodeapi.EdgeStarting {
			return waited
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(settlePoll):
		}
	}
}

// edgeRetried runs a command, once more if the edge was only coming up.
func (m *Manager) edgeRetried(ctx context.Context, name gateway.Name, container string, e edgeExec) (edgeDone, error) {
	done, err := m.edgeCommand(ctx, name, container, e)
	if err == nil && done.code != 0 && m.settles(ctx, container) {
		return m.edgeCommand(ctx, name, container, e)
	}
	return done, err
}

// scriptAnswer is what every script of the edge answers, and more.
type scriptAnswer struct {
	Status string `json:"status"`
	Error  string `json:"error"`
}

// edgeScript runs a script and decodes its answer. What the script says went
// wrong is returned as why.
func (m *Manager) edgeScript(ctx context.Context, name gateway.Name, container, script string, env []string, into any) (why, err error) {
	done, err := m.edgeCommand(ctx, name, container, edgeExec{argv: []string{edge.Scripts + "/main.sh", "-r", script}, env: env})
	if err != nil {
		return nil, err
	}
	var answer scriptAnswer
	if err := json.Unmarshal(done.out, &answer); err != nil {
		return done.complaint(), nil
	}
	if done.code != 0 || answer.Status != "ok" {
		return errors.New(answer.Error), nil
	}
	if into != nil {
		if err := json.Unmarshal(done.out, into); err != nil {
			return nil, stepError(ctx, fmt.Errorf("answer of %s: %w", script, err))
		}
	}
	return nil, nil
}

// maxLine bounds what is kept of a line that does not end.
const maxLine = 64 << 10

// lineWriter tells of whole lines.
type lineWriter struct {
	tell func([]byte)
	rest []byte
}

var _ io.Writer = (*lineWriter)(nil)

func (w *lineWriter) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	for {
		line, rest, found := bytes.Cut(w.rest, []byte("\n"))
		if !found {
			break
		}
		w.tell(line)
		w.rest = rest
	}
	if len(w.rest) > maxLine {
		w.rest = nil
	}
	return len(p), nil
}
