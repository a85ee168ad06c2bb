package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"syscall"
	"time"

	"openshell.ai/openshell/deploy/node/internal/certs"
	"openshell.ai/openshell/deploy/node/internal/edgehost"
	"openshell.ai/openshell/deploy/node/internal/health"
	"openshell.ai/openshell/deploy/node/internal/layout"
	"openshell.ai/openshell/deploy/node/internal/status"
	"openshell.ai/openshell/deploy/node/internal/supervisor"
	"openshell.ai/openshell/pkg/nodeapi"
	"openshell.ai/openshell/pkg/version"
)

// Kubernetes is the version of the components, stamped by the linker.
var Kubernetes = "unknown"

const (
	lookOften    = 50 * time.Millisecond // while people wait
	lookSeldom   = time.Second
	impatientFor = 30 * time.Second
)

// Run boots the node and returns when ctx has ended and every process is down.
// A node that cannot go on stays up and says why: an exit would only make
// Docker start it again, and take the explanation with it.
func Run(ctx context.Context) error {
	booted := time.Now()
	state := status.New(version.Version, Kubernetes, time.Now)
	checks, edge := &lateChecker{}, edgehost.NewMonitor(edgeProcess(state))
	serving, stopServing := context.WithCancel(context.Background())
	defer stopServing()
	go func() {
		if err := status.Serve(serving, state, checks, edge); err != nil {
			slog.Error("the node's socket", "error", err)
		}
	}()
	state.Reach(nodeapi.Mounts)

	node, client, err := prepare()
	if err != nil {
		state.Fail(failure(err))
		<-ctx.Done()
		return nil
	}
	checks.set(health.New(client, node.Name, node.IP, booted))

	if node.Settings.HTTPTLS {
		edge.UseTLS()
	}
	host := edgehost.New(node)
	if err := host.Prepare(); err != nil { // it is tried again when its turn has come
		slog.Error("the edge cannot be prepared", "error", err)
	}

	// The processes outlive ctx: Stop ends them in order.
	sup := supervisor.New(processes(client.Readable, edgeTurn(state, host, client, booted), host.Pushed), observer{state}, os.Stderr)
	sup.Start(context.Background())
	healer := edgehost.NewHealer(func() { sup.Restart(nodeapi.EdgeComponent) })
	go edge.Watch(ctx, func(seen nodeapi.Edge) {
		state.Edge(seen)
		healer.See(seen)
	})
	go host.FollowCertificate(ctx, client)
	go bootMilestones(ctx, state, checks)

	<-ctx.Done()
	state.Stopping()
	began := time.Now()
	sup.Stop()
	slog.Info("stopped", "after_ms", time.Since(began).Milliseconds())
	return nil
}

// prepare does everything that must be there before the first process.
func prepare() (layout.Node, *health.Client, error) {
	node, err := layout.Load()
	if err != nil {
		return layout.Node{}, nil, err
	}
	steps := []func() error{
		syncSettings,
		func() error { return certs.Issue(node, time.Now()) },
		mountSupervisor,
		writeContainerdConfig,
		func() error { return prepareNetwork(node) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return layout.Node{}, nil, err
		}
	}
	client, err := health.NewClient()
	return node, client, err
}

// syncSettings makes gateway.json durable: Docker's archive API, by which the
// CLI has written it, leaves that to the kernel.
func syncSettings() error {
	file, err := os.Open(nodeapi.SettingsFile)
	if err != nil {
		return fmt.Errorf("%w: %w", layout.ErrSettings, err)
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("%w: %w", layout.ErrSettings, err)
	}
	return nil
}

func failure(err error) nodeapi.Failure {
	id := nodeapi.FailureHost
	switch {
	case errors.Is(err, layout.ErrSettings):
		id = nodeapi.FailureSettings
	case errors.Is(err, syscall.ENOSPC):
		id = nodeapi.FailureDiskFull
	}
	return nodeapi.Failure{ID: id, Message: err.Error()}
}

// bootMilestones turns passing checks into milestones until all pass. The other milestones are reported by the processes themselves.
func bootMilestones(ctx context.Context, state *status.State, checker status.Checker) {
	milestones := map[string]nodeapi.Milestone{
		health.API: nodeapi.API, health.Node: nodeapi.Node,
		health.Workload: nodeapi.Workload, health.Endpoint: nodeapi.Endpoint,
	}
	for began := time.Now(); ; {
		results := checker.Check(ctx)
		passed := 0
		for _, check := range results {
			if !check.OK {
				continue
			}
			passed++
			if m, ok := milestones[check.ID]; ok {
				state.Reach(m)
			}
		}
		if passed == len(results) {
			state.Checked(results)
			if err := markInitialized(nodeapi.SettingsFile, time.Now()); err != nil {
				slog.Error("the gateway is healthy, which cannot be noted", "error", err)
			}
			if err := os.WriteFile(layout.HealthyMark, nil, 0o600); err != nil {
				slog.Error("there will be no snapshots", "error", err)
			}
			return
		}
		every := lookOften
		if time.Since(began) > impatientFor {
			every = lookSeldom
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(every):
		}
	}
}

// observer adds what processes cannot report by themselves: that containerd is
// ready, and that the control plane did not survive reading its data.
type observer struct{ *status.State }

func (o observer) Component(c nodeapi.Component) {
	if c.Name == containerd && c.State == "ready" {
		o.Reach(nodeapi.Containerd)
	}
	o.State.Component(c)
	if st, _ := o.Snapshot(); c.Name == controlPlane && c.Restarts >= hopeless && !st.Has(nodeapi.Etcd) && crashed.MatchString(c.LastExit) {
		o.Fail(nodeapi.Failure{ID: nodeapi.FailureStateUnreadable, Message: "etcd does not survive opening its data: " + c.LastExit})
	}
}

// hopeless is the number of crashes before etcd served that leave no doubt.
const hopeless = 3

// crashed is how a Go program ends that was given damaged data: by a panic, or
// by a fault in a file mapped to memory, which it cannot recover from. A lack
// of memory or of threads looks different.
var crashed = regexp.MustCompile(`^exit code 2: (panic: |fatal error: fault|unexpected fault address)`)

// Healthcheck asks the running node and describes what is wrong; "" when
// nothing is.
func Healthcheck(st nodeapi.Status) string {
	if st.Failure != nil {
		return fmt.Sprintf("%s: %s\n", st.Failure.ID, st.Failure.Message)
	}
	out := ""
	for _, c := range st.Checks {
		if !c.OK {
			out += fmt.Sprintf("%s: %s\n", c.ID, c.Message)
		}
	}
	return out
}
