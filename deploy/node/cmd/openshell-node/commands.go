package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"openshell.ai/openshell/deploy/node/internal/edgehost"
	"openshell.ai/openshell/deploy/node/internal/layout"
	"openshell.ai/openshell/deploy/node/internal/node"
	"openshell.ai/openshell/deploy/node/internal/status"
	"openshell.ai/openshell/deploy/node/internal/volume"
	"openshell.ai/openshell/pkg/nodeapi"
)

var errUsage = errors.New("wrong arguments: run openshell-node without any for help")

func printStatus(ctx context.Context, _ []string) error {
	body, err := status.Get(ctx, "/v1/status")
	if err != nil {
		return err
	}
	defer body.Close()
	_, err = io.Copy(os.Stdout, body)
	return err
}

// watch ends with its stdin, because an exec that lost its client is not
// ended by Docker.
func watch(ctx context.Context, _ []string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	body, err := status.Get(ctx, "/v1/watch")
	if err != nil {
		return err
	}
	defer body.Close()
	_, err = io.Copy(os.Stdout, body)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func healthcheck(ctx context.Context, _ []string) error {
	body, err := status.Get(ctx, "/v1/status")
	if err != nil {
		return err
	}
	defer body.Close()
	var st nodeapi.Status
	if err := json.NewDecoder(body).Decode(&st); err != nil {
		return err
	}
	if wrong := node.Healthcheck(st); wrong != "" {
		fmt.Print(wrong)
		return errors.New("unhealthy")
	}
	return nil
}

// dial connects stdio to the API server until either side ends. As a session
// it begins with the credentials, which saves the CLI a call of Docker's
// archive API: those take longer than everything else it asks.
func dial(ctx context.Context, args []string) error {
	switch {
	case len(args) == 1 && args[0] == "api":
	case len(args) == 1 && args[0] == "session":
		kubeconfig, err := os.ReadFile(nodeapi.AdminKubeconfig)
		if err != nil {
			return err
		}
		if err := json.NewEncoder(os.Stdout).Encode(nodeapi.Session{Kubeconfig: kubeconfig, Edge: edgeNow(ctx)}); err != nil {
			return err
		}
	default:
		return errUsage
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(nodeapi.APIServerPort)))
	if err != nil {
		return err
	}
	defer conn.Close()
	done := make(chan error, 2)
	go func() {
		_, err := io.Copy(conn, os.Stdin)
		done <- err
	}()
	go func() {
		_, err := io.Copy(os.Stdout, conn)
		done <- err
	}()
	return <-done
}

// edgeNow is how the edge is; nil when the node does not say so at once.
func edgeNow(ctx context.Context) *nodeapi.Edge {
	const patience = time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	body, err := status.Get(ctx, "/v1/edge")
	if err != nil {
		return nil
	}
	defer body.Close()
	var edge *nodeapi.Edge
	if json.NewDecoder(body).Decode(&edge) != nil {
		return nil
	}
	return edge
}

// edgeCommand becomes a command of the edge. What is in the environment already
// wins.
func edgeCommand(_ context.Context, args []string) error {
	if len(args) == 0 {
		return errUsage
	}
	environ, err := edgehost.Environment()
	if err != nil {
		return err
	}
	path, err := exec.LookPath(args[0])
	if err != nil {
		return err
	}
	return syscall.Exec(path, args, merge(os.Environ(), environ))
}

// merge adds what the environment lacks. The credentials of Kubernetes are none
// of the edge's business.
func merge(environ, more []string) []string {
	out := make([]string, 0, len(environ)+len(more))
	seen := map[string]bool{"KUBECONFIG": true}
	for _, entry := range append(slices.Clone(environ), more...) {
		if name, _, _ := strings.Cut(entry, "="); !seen[name] {
			seen[name] = true
			out = append(out, entry)
		}
	}
	return out
}

// kubectl becomes kubectl.
func kubectl(_ context.Context, args []string) error {
	environ := append(os.Environ(), "KUBECONFIG="+nodeapi.AdminKubeconfig)
	return syscall.Exec(layout.KubeBinary, append([]string{"kubectl"}, args...), environ)
}

func volumeCommand(ctx context.Context, args []string) error {
	v := volume.Volume{Root: nodeapi.VolumeRoot, Build: buildData}
	switch {
	case len(args) == 1 && args[0] == "asides":
		asides, err := v.Asides()
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(asides)
	case len(args) == 2 && args[0] == "set-aside":
		if err := v.SetAside(args[1]); err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(map[string]string{"aside": args[1]})
	case len(args) == 3 && args[0] == "restore":
		had, err := v.Restore(ctx, args[1], args[2])
		if err != nil {
			return err
		}
		aside := args[2]
		if !had {
			aside = ""
		}
		return json.NewEncoder(os.Stdout).Encode(map[string]string{"aside": aside})
	}
	return errUsage
}

// buildData makes data of etcd from a snapshot. etcd is in the other program.
func buildData(ctx context.Context, snapshot, dir string) error {
	out, err := exec.CommandContext(ctx, layout.KubeBinary, nodeapi.CmdSnapshot, "build", snapshot, dir).CombinedOutput()
	if err != nil {
		if said := strings.TrimPrefix(strings.TrimSpace(string(out)), "error: "); said != "" {
			return errors.New(said)
		}
	}
	return err
}
