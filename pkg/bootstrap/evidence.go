package bootstrap

import (
	"bytes"
	"context"
	"fmt"
	"path"
	"strconv"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gateway"
	"openshell.ai/openshell/pkg/nodeapi"
)

// edgeLogTail is how many last bytes of a log of the edge are read.
const edgeLogTail = 256 << 10

// Container describes a gateway's container, running or not, without its
// environment.
func (m *Manager) Container(ctx context.Context, name gateway.Name) (docker.Container, error) {
	return m.containerOf(ctx, name)
}

// EdgeLog reads the end of a log of the edge, such as gateway.log; of a gateway
// that does not run the whole log, if it is not too long to be read in one go. A
// log that was never begun is empty.
func (m *Manager) EdgeLog(ctx context.Context, name gateway.Name, file string) ([]byte, error) {
	c, err := m.containerOf(ctx, name)
	if err != nil {
		return nil, err
	}
	file = path.Join(nodeapi.Current, "edge/logs", file)
	if c.State != docker.StateRunning {
		data, err := m.Engine.ReadFile(ctx, c.ID, file)
		if docker.IsFileNotFound(err) {
			return nil, nil
		}
		if err != nil {
			return nil, stepError(ctx, err)
		}
		return data, nil
	}
	var out, complaint bytes.Buffer
	code, err := m.Engine.Exec(ctx, c.ID, docker.ExecSpec{
		Argv: []string{"tail", "-c", strconv.Itoa(edgeLogTail), file}, Stdout: &out, Stderr: &complaint,
	})
	if err != nil {
		return nil, stepError(ctx, err)
	}
	if code != 0 {
		return nil, fault.New(fault.EdgeFailed, fault.ExitFailure, "the log %s cannot be read", file).
			Because(fmt.Errorf("%s", bytes.TrimSpace(complaint.Bytes())))
	}
	return out.Bytes(), nil
}
