package bootstrap

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

// engineNode reads the node's report by exec.
type engineNode struct{ engine docker.Engine }

func (n engineNode) Status(ctx context.Context, container string) (nodeapi.Status, error) {
	var out, complaint bytes.Buffer
	code, err := n.engine.Exec(ctx, container, docker.ExecSpec{
		Argv: []string{nodeapi.Binary, nodeapi.CmdStatus}, Stdout: &out, Stderr: &complaint,
	})
	if err != nil {
		return nodeapi.Status{}, err
	}
	if code != 0 {
		return nodeapi.Status{}, fmt.Errorf("openshell-node %s: exit code %d: %s", nodeapi.CmdStatus, code, lastLine(complaint.String()))
	}
	var s nodeapi.Status
	if err := json.Unmarshal(out.Bytes(), &s); err != nil {
		return nodeapi.Status{}, fmt.Errorf("openshell-node %s: %w", nodeapi.CmdStatus, err)
	}
	return s, nil
}

func (n engineNode) Watch(ctx context.Context, container string, report func(nodeapi.Status)) error {
	stream, err := n.engine.ExecStream(ctx, container, []string{nodeapi.Binary, nodeapi.CmdWatch})
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
