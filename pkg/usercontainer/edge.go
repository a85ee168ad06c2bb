package usercontainer

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/edge"
	"openshell.ai/openshell/pkg/edge/edgeapi"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/nodeapi"
)

// appGateway is the program in the gateway's container.
const appGateway = edge.Root + "/current/bin/app-gateway"

// maxAnswer bounds what is read of an answer; a package has a few keys in it.
const maxAnswer = 4 << 20

// ask runs app-gateway in the gateway's container and returns what it printed.
func (m *Manager) ask(ctx context.Context, node string, args ...string) ([]byte, error) {
	stdout, stderr := &bounded{left: maxAnswer}, &bounded{left: 64 << 10}
	code, err := m.Engine.Exec(ctx, node, docker.ExecSpec{Argv: append([]string{appGateway}, args...), Stdout: stdout, Stderr: stderr})
	if err != nil {
		return nil, err
	}
	if code != 0 {
		return nil, &refusal{args: args[:min(2, len(args))], said: lastLine(stderr.String()), code: code}
	}
	return stdout.Bytes(), nil
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
func (m *Manager) vpn(ctx context.Context, node string) (edgeapi.VPN, error) {
	var doc edgeapi.VPN
	return doc, m.control(ctx, node, "vpn", &doc)
}

// routes are all names under which the gateway leads to services.
func (m *Manager) routes(ctx context.Context, node string) ([]edgeapi.Route, error) {
	var doc []edgeapi.Route
	return doc, m.control(ctx, node, "routes", &doc)
}

func (m *Manager) control(ctx context.Context, node, what string, into any) error {
	out, err := m.ask(ctx, node, "control", what)
	if err != nil {
		return unanswered(err)
	}
	if err := json.Unmarshal(out, into); err != nil {
		return unanswered(fmt.Errorf("app-gateway control %s: %w", what, err))
	}
	return nil
}

// unanswered explains that the gateway runs and its edge does not answer. What
// the engine says stays as it is.
func unanswered(err error) error {
	var d *docker.Error
	if isDocker(err, &d) {
		return err
	}
	return fault.New(fault.Unhealthy, fault.ExitNotRunning, "the gateway runs, and its edge, which leads to services, does not answer").
		Hint("it may be starting: run the command again in a moment").
		Hint("see how it is: `openshell gateway status`").Because(err)
}

// register makes a package for a container. It is a secret.
func (m *Manager) register(ctx context.Context, o observed, services []Served) ([]byte, error) {
	args := []string{"vpn", "client", "add", o.name}
	for _, s := range services {
		args = append(args, "--service", fmt.Sprintf("%s:%d", s.Host, s.Port))
	}
	args = append(args, "--remote", o.on.Resource(), "--port", strconv.Itoa(nodeapi.VPNPort))
	out, err := m.ask(ctx, o.node.ID, args...)
	if err != nil {
		return nil, notRegistered(o.name, err)
	}
	if !json.Valid(out) {
		return nil, notRegistered(o.name, fmt.Errorf("app-gateway vpn client add: no JSON document of %d bytes", len(out)))
	}
	return out, nil
}

// unregister takes the registration away by its id.
func (m *Manager) unregister(ctx context.Context, node, id string) error {
	_, err := m.ask(ctx, node, "vpn", "client", "rm", id)
	return err
}

func notRegistered(name string, err error) error {
	var d *docker.Error
	if isDocker(err, &d) {
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

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndexByte(text, '\n')+1:]
}
