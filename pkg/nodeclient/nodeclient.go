// Package nodeclient asks the node in a running container for its report.
package nodeclient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/nodeapi"
)

// Execer runs commands in containers.
type Execer interface {
	Exec(ctx context.Context, container string, spec docker.ExecSpec) (code int, err error)
}

// Engine is the part of a Docker Engine that is used here.
type Engine interface {
	Execer
	ExecStream(ctx context.Context, container string, argv []string) (io.ReadWriteCloser, error)
}

// Client reads the reports by exec.
type Client struct{ Engine Engine }

// Status is one report.
func (n Client) Status(ctx context.Context, container string) (nodeapi.Status, error) {
	return Status(ctx, n.Engine, container)
}

// Status is one report, for those who watch none.
func Status(ctx context.Context, engine Execer, container string) (nodeapi.Status, error) {
	var out, complaint bytes.Buffer
	code, err := engine.Exec(ctx, container, docker.ExecSpec{
		Argv: []string{nodeapi.Binary, nodeapi.CmdStatus}, Stdout: &out, Stderr: &complaint,
	})
	if err != nil {
		return nodeapi.Status{}, err
	}
	if code != 0 {
		return nodeapi.Status{}, fmt.Errorf("openshell-node %s: exit code %d: %s", nodeapi.CmdStatus, code, docker.LastLine(complaint.String()))
	}
	var s nodeapi.Status
	if err := json.Unmarshal(out.Bytes(), &s); err != nil {
		return nodeapi.Status{}, fmt.Errorf("openshell-node %s: %w", nodeapi.CmdStatus, err)
	}
	return s, nil
}

// Watch calls report with every change until the stream or ctx ends. An end of
// the stream is no error: the node may be about to come up.
func (n Client) Watch(ctx context.Context, container string, report func(nodeapi.Status)) error {
	stream, err := n.Engine.ExecStream(ctx, container, []string{nodeapi.Binary, nodeapi.CmdWatch})
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { stream.Close() })
	defer func() {
		if stop() {
			stream.Close()
		}
	}()
	return readReports(stream, report)
}

// readReports reads one JSON document after the other. What follows a torn one
// cannot be trusted, so it ends the stream.
func readReports(r io.Reader, report func(nodeapi.Status)) error {
	dec := json.NewDecoder(r)
	for {
		var s nodeapi.Status
		if err := dec.Decode(&s); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("openshell-node %s: %w", nodeapi.CmdWatch, err)
		}
		report(s)
	}
}
