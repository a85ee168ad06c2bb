package cli

import (
	"context"
	"io"
	"os"
	"time"

	"google.golang.org/grpc"

	"openshell.ai/openshell/pkg/bootstrap"
	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/hostconfig"
	"openshell.ai/openshell/pkg/usercontainer"
	"openshell.ai/openshell/pkg/version"
)

// Wiring is how openshell is connected to the world. The zero value connects it
// to the real Docker Engine, the user's configuration directory and the real
// gateways.
type Wiring struct {
	Store  func(*hostconfig.Store)             // of each store, before it is used
	Engine func(bootstrap.Deps) bootstrap.Deps // of each Manager
	Dial   []grpc.DialOption                   // of connections to gateways
}

// Main is Main with this wiring.
func (w Wiring) Main() int { return runWith(w.deps(), os.Args[1:]) }

func (w Wiring) deps() Deps {
	return Deps{
		Streams: systemStreams(os.Getenv),
		Env:     os.Getenv,
		Now:     time.Now,
		Version: version.Version,
		Host:    func() (Host, error) { return w.openStore() },
		Engine:  w.connect,
		Dial:    w.Dial,
	}
}

func (w Wiring) openStore() (*hostconfig.Store, error) {
	root, err := hostconfig.DefaultRoot()
	if err != nil {
		return nil, err
	}
	store := hostconfig.New(root)
	if w.Store != nil {
		w.Store(store)
	}
	return store, nil
}

// connected is the real Engine.
type connected struct {
	*bootstrap.Manager
	engine docker.Engine
	store  *hostconfig.Store
}

func (w Wiring) connect(ctx context.Context) (Engine, error) {
	engine, err := docker.Connect(ctx, os.Getenv)
	if err != nil {
		return nil, err
	}
	store, err := w.openStore()
	if err != nil {
		return nil, err
	}
	deps := bootstrap.Deps{Engine: engine, Host: store, Version: version.Version}
	if w.Engine != nil {
		deps = w.Engine(deps)
	}
	return connected{bootstrap.New(deps), engine, store}, nil
}

func (c connected) Containers() Containers {
	return &usercontainer.Manager{Engine: c.engine, Host: c.store, Version: version.Version}
}

func (c connected) Endpoint() string { return c.engine.Endpoint() }

func (c connected) SaveImage(ctx context.Context, ref string) (io.ReadCloser, error) {
	return c.engine.SaveImage(ctx, ref)
}

func (c connected) Image(ctx context.Context, ref string) (docker.Image, error) {
	return c.engine.Image(ctx, ref)
}

func (c connected) Info(ctx context.Context) (docker.Info, error) { return c.engine.Info(ctx) }

func (c connected) Close() error { return c.engine.Close() }
