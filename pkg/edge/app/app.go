package app

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"openshell.ai/openshell/pkg/edge"
	"openshell.ai/openshell/pkg/edge/activity"
	"openshell.ai/openshell/pkg/edge/lifecycle"
	"openshell.ai/openshell/pkg/edge/nginx"
	"openshell.ai/openshell/pkg/edge/project"
	"openshell.ai/openshell/pkg/edge/push"
	"openshell.ai/openshell/pkg/edge/routes"
	"openshell.ai/openshell/pkg/edge/script"
)

const (
	sandboxPoll    = 200 * time.Millisecond
	containerPoll  = time.Second
	nginxPoll      = time.Second
	updateLimit    = 5 * time.Second
	resetLimit     = 30 * time.Second
	attemptLimit   = 2 * time.Minute // of one request to the control plane
	requestsGrace  = time.Second     // of the 7 s that a stop may take
	workersGrace   = 2 * time.Second
	lastPushLimit  = 4 * time.Second
	drainPushLimit = time.Minute
)

// Parts are what an app works with beside its configuration.
type Parts struct {
	Build      string
	Containers Containers
	// ContainersFile changes whenever Containers do.
	ContainersFile string
	VPN            VPN
	// Run runs a script of the edge.
	Run func(ctx context.Context, name script.Name, input string) error
	Log *slog.Logger
}

// App is a running gateway.
type App struct {
	config    Config
	parts     Parts
	log       *slog.Logger
	machine   *lifecycle.Machine
	table     *routes.Table
	applier   *routes.Applier
	starts    Starts
	client    *push.Client    // nil when stand-alone
	spool     *push.Spool     // nil when stand-alone
	deliverer *push.Deliverer // nil when stand-alone
	reading   sync.Mutex      // of the registry: what was read later counts
}

// New makes an app that resumes what the process before it did in this epoch.
func New(config Config, parts Parts) (*App, error) {
	a := &App{config: config, parts: parts, log: parts.Log, starts: keyFile(config.StartKeyFile)}
	current, err := a.resume()
	if err != nil {
		return nil, err
	}
	a.machine = lifecycle.New(current, config.standAlone(), config.Inactivity, func(c project.Config) error {
		return project.Save(config.ProjectConfig, c)
	})
	a.applier = routes.NewApplier(func(ctx context.Context, input string) error {
		ctx, cancel := context.WithTimeout(ctx, updateLimit)
		defer cancel()
		return parts.Run(ctx, script.UpdateNginxLocations, input)
	}, func() any { return routes.Stamp(config.NginxConfig) }, routes.ApplyPause, a.log)
	names, err := routes.OpenNames(config.state(edge.NamesFile))
	if err != nil {
		a.log.Error("names of services are lost", "error", err)
	}
	a.table = routes.NewTable(routes.Config{
		Names: names, Watchdog: config.Watchdog, LiveFile: config.run("live-services.json"), Epoch: current.Epoch,
		Limit: nginx.MaxServices, Check: a.acceptable, Apply: a.applier.Set, Log: a.log,
	})
	if config.standAlone() {
		return a, nil
	}
	a.client = &push.Client{Base: config.ControlPlane, TokenFile: config.TokenFile, HTTP: &http.Client{
		Timeout: attemptLimit,
		// The token goes nowhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if a.spool, err = push.OpenSpool(config.state(edge.SpoolDir)); err != nil {
		return nil, err
	}
	a.deliverer = push.NewDeliverer(a.spool, a.client, a.log)
	return a, nil
}

// resume answers the configuration of this epoch, a new one if there is none.
func (a *App) resume() (project.Config, error) {
	current, ok, err := project.Load(a.config.ProjectConfig)
	switch {
	case err != nil:
		// What cannot be believed is no allocation: the control plane gives another.
		a.log.Error("the project's configuration is not resumed", "error", err)
	case ok && current.GatewayID == a.config.GatewayID:
		return current, nil
	}
	epoch, err := project.NextEpoch(a.config.state("epoch"), time.Now())
	if err != nil {
		return project.Config{}, fmt.Errorf("begin an epoch: %w", err)
	}
	current = project.Config{GatewayID: a.config.GatewayID, Epoch: epoch}
	return current, project.Save(a.config.ProjectConfig, current)
}

// acceptable reports what the script would refuse: one such line would refuse
// the whole set.
func (a *App) acceptable(s edge.Service) error {
	line := fmt.Sprintf("%s %s %d\n", s.Host, s.IP, s.Port)
	_, err := nginx.Parse(strings.NewReader(line), a.config.Pods)
	return err
}

// Run serves until ctx ends, and then stops with a last push.
func (a *App) Run(ctx context.Context) error {
	began := time.Now()
	listener, err := net.Listen("tcp", a.config.Address)
	if err != nil {
		return err
	}
	defer listener.Close()
	control, err := a.listenControl()
	if err != nil {
		return err
	}
	defer control.Close()
	used, err := activity.Listen(nginx.ActivitySocket(a.config.Run))
	if err != nil {
		return err
	}
	defer used.Close()
	a.readSandboxes()
	a.readContainers()
	a.table.Start()

	servers := []*http.Server{newServer(a.public(), a.log), newServer(a.control(), a.log)}
	failed := make(chan error, len(servers))
	for i, l := range []net.Listener{listener, control} {
		go func() { failed <- servers[i].Serve(l) }()
	}
	go activity.Receive(used, a.machine.Use)
	working, stopWorkers := context.WithCancel(ctx)
	defer stopWorkers()
	wait := a.work(working)
	state, current := a.machine.State()
	a.log.Info("serving", "build", a.parts.Build, "state", state, "epoch", current.Epoch, "control_plane", a.config.ControlPlane,
		"after", time.Since(began).Round(time.Millisecond).String())

	select {
	case <-ctx.Done():
	case err = <-failed:
		err = fmt.Errorf("serve: %w", err)
	}
	a.log.Info("stopping")
	a.table.Stop()
	stopWorkers()
	closed := make(chan struct{})
	go func() { closeServers(servers); close(closed) }()
	wait(workersGrace)
	<-closed
	a.lastPush()
	a.log.Info("stopped")
	return err
}

// newServer bounds what a client may take.
func newServer(handler http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: handler, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 15 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

func closeServers(servers []*http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), requestsGrace)
	defer cancel()
	for _, server := range servers {
		if server.Shutdown(ctx) != nil {
			server.Close() // requests that do not end in time
		}
	}
}

// work starts what runs beside the servers. The answer waits for its end, but
// not for ever: a script may hang.
func (a *App) work(ctx context.Context) (wait func(time.Duration)) {
	var group sync.WaitGroup
	group.Go(func() { routes.Watch(ctx, a.config.run(edge.SandboxRoutes), sandboxPoll, a.readSandboxes) })
	group.Go(func() { routes.Watch(ctx, a.parts.ContainersFile, containerPoll, a.readContainers) })
	group.Go(func() { a.applier.Loop(ctx) })
	group.Go(func() { routes.Watch(ctx, a.config.NginxConfig, nginxPoll, a.applier.Check) })
	if !a.config.standAlone() {
		group.Go(func() { a.synchronize(ctx) })
		group.Go(func() { a.resetWhenIdle(ctx) })
		if a.config.Inactivity > 0 {
			status := activity.NewStatus(nginx.StatusSocket(a.config.Run), nginx.StatusPath)
			group.Go(func() { activity.Watch(ctx, a.config.Inactivity/10, status.Busy, a.machine.Use) })
		}
	}
	ended := make(chan struct{})
	go func() { group.Wait(); close(ended) }()
	return func(limit time.Duration) {
		select {
		case <-ended:
		case <-time.After(limit):
			a.log.Warn("a script still runs")
		}
	}
}

// readSandboxes keeps the last good set when the file is no set.
func (a *App) readSandboxes() {
	set, known, err := routes.ReadSandboxes(a.config.run(edge.SandboxRoutes))
	if err != nil {
		err = fmt.Errorf("%w: the last good set stays", err)
	}
	a.table.Report("routes of sandboxes", err)
	if known {
		a.table.SetSandboxes(set)
	}
}

// readContainers keeps what is known when the registry cannot be read.
func (a *App) readContainers() {
	a.reading.Lock()
	defer a.reading.Unlock()
	all, err := a.parts.Containers.List()
	a.table.Report("containers", err)
	if err == nil {
		a.table.SetContainers(all)
	}
}

// snapshot is the data of the gateway's organization.
func (a *App) snapshot() (json.RawMessage, error) {
	return json.Marshal(map[string]any{"routes": a.table.Routes()})
}
