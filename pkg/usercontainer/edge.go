package usercontainer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/edge"
	"openshell.ai/openshell/pkg/edge/edgeapi"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gateway"
	"openshell.ai/openshell/pkg/nodeapi"
	"openshell.ai/openshell/pkg/nodeclient"
)

// appGateway is the program of the edge's current release in the gateway's
// container.
const appGateway = edge.Root + "/current/bin/app-gateway"

// maxAnswer bounds what is read of an answer; a package has a few keys in it.
const maxAnswer = 4 << 20

// ask runs app-gateway in the gateway's container, with the environment of the
// edge's scripts, and returns what it printed.
func (m *Manager) ask(ctx context.Context, node string, args ...string) ([]byte, error) {
	stdout, stderr := &bounded{left: maxAnswer}, &bounded{left: 64 << 10}
	code, err := m.Engine.Exec(ctx, node, docker.ExecSpec{Argv: append([]string{nodeapi.Binary, nodeapi.CmdEdge, appGateway}, args...), Stdout: stdout, Stderr: stderr})
	if err != nil {
		return nil, err
	}
	const usage = 2
	if code == usage && stdout.Len() == 0 && strings.HasPrefix(stderr.String(), "usage: openshell-node ") {
		return nil, fault.New(fault.Unsupported, fault.ExitFailure, "the node image of this gateway has no edge, which leads to containers").
			Hint("an empty gateway of this version has one: `openshell gateway start NAME`")
	}
	if code != 0 {
		return nil, &refusal{args: args[:min(2, len(args))], said: docker.LastLine(stderr.String()), code: code}
	}
	return stdout.Bytes(), nil
}

// edgeStarts reports that the node brings the edge up. A slow machine takes its
// time for that.
func (m *Manager) edgeStarts(ctx context.Context, node string) bool {
	s, err := nodeclient.Status(ctx, m.Engine, node)
	return err == nil && s.Edge != nil && s.Edge.State == nodeapi.EdgeStarting
}

// refusal is what app-gateway says of a command it did not do.
type refusal struct {
	args []string
	said string
	code int
}

func (r *refusal) Error() string {
	said := strings.TrimPrefix(r.said, "app-gateway: ")
	if said == "" {
		said = "exit code " + strconv.Itoa(r.code)
	}
	return fmt.Sprintf("app-gateway %s: %s", strings.Join(r.args, " "), said)
}

// vpn is what the gateway knows of its VPN.
func (m *Manager) vpn(ctx context.Context, o observed) (doc edgeapi.VPN, err error) {
	err = m.control(ctx, o, "vpn", &doc)
	return doc, err
}

// routes are all names under which the gateway leads to services.
func (m *Manager) routes(ctx context.Context, o observed) (doc []edgeapi.Route, err error) {
	err = m.control(ctx, o, "routes", &doc)
	return doc, err
}

func (m *Manager) control(ctx context.Context, o observed, what string, into any) error {
	out, err := m.ask(ctx, o.node.ID, "control", what)
	if err != nil {
		return unanswered(o.on, err)
	}
	if err := json.Unmarshal(out, into); err != nil {
		return unanswered(o.on, fmt.Errorf("app-gateway control %s: %w", what, err))
	}
	return nil
}

// unanswered explains that the gateway runs and its edge does not answer. What
// the engine says stays as it is, and so does what is explained already.
func unanswered(on gateway.Name, err error) error {
	var r *refusal
	if !errors.As(err, &r) {
		return err
	}
	return fault.New(fault.EdgeFailed, fault.ExitFailure, "app-gateway of gateway %s does not answer", on).
		Hint("see how it is: `openshell gateway status %s`", on).
		Hint("bring it back: `openshell gateway start %s`", on).Because(err)
}

// issue makes a package for a container: one that ends those from before, if
// the gateway knows the container. It is a secret.
func (m *Manager) issue(ctx context.Context, o observed, services []Served) ([]byte, error) {
	args := []string{"vpn", "client"}
	if o.client != nil {
		args = append(args, "config", o.client.ID)
	} else {
		args = append(args, "add", o.name, "--kind", edgeapi.KindContainer)
		for _, s := range services {
			args = append(args, "--service", fmt.Sprintf("%s:%d", s.Host, s.Port))
		}
	}
	args = append(args, "--remote", o.on.Resource(), "--port", strconv.Itoa(nodeapi.VPNPort))
	out, err := m.ask(ctx, o.node.ID, args...)
	var r *refusal
	if errors.As(err, &r) && strings.Contains(r.said, "unknown flag: --kind") {
		// An app-gateway from before kinds: its registrations are taken away on request only.
		i := slices.Index(args, "--kind")
		out, err = m.ask(ctx, o.node.ID, slices.Delete(args, i, i+2)...)
	}
	if err != nil {
		return nil, notRegistered(o.name, err)
	}
	if !json.Valid(out) {
		return nil, notRegistered(o.name, &refusal{args: args[:2], said: fmt.Sprintf("%d bytes are no JSON document", len(out))})
	}
	return out, nil
}

// unregister takes the registration away by its id.
func (m *Manager) unregister(ctx context.Context, node, id string) error {
	_, err := m.ask(ctx, node, "vpn", "client", "rm", id)
	return err
}

func notRegistered(name string, err error) error {
	var r *refusal
	if !errors.As(err, &r) {
		return err
	}
	return fault.New(fault.ContainerFailed, fault.ExitFailure, "the gateway does not register container %s", name).Because(err)
}

// bounded keeps the beginning of what is written.
type bounded struct {
	bytes.Buffer
	left int
}

func (b *bounded) Write(p []byte) (int, error) {
	keep := p[:min(len(p), b.left)]
	b.left -= len(keep)
	b.Buffer.Write(keep)
	return len(p), nil
}

var _ io.Writer = (*bounded)(nil)
