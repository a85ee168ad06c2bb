package cli

import (
	"context"
	"io"
	"os"
	"time"

	"openshell.ai/openshell/pkg/bootstrap"
	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/hostconfig"
	"openshell.ai/openshell/pkg/usercontainer"
	"openshell.ai/openshell/pkg/version"
)

// systemDeps are those of this process: the real Docker Engine and the user's
// configuration directory.
func systemDeps() Deps {
	return Deps{
		Streams: systemStreams(os.Getenv),
		Env:     os.Getenv,
		Now:     time.Now,
		Version: version.Version,
		Host:    func() (Host, error) { return openStore() },
		Engine:  connect,
	}
}

func openStore() (*hostconfig.Store, error) {
	root, err := hostconfig.DefaultRoot()
	if err != nil {
		return nil, err
	}
	return hostconfig.New(root), nil
}

// connected is the real Engine.
type connected struct {
	*bootstrap.Manager
	engine docker.Engine
	store  *hostconfig.Store
}

func connect(ctx context.Context) (Engine, error) {
	engine, err := docker.Connect(ctx, os.Getenv)
	if err != nil {
		return nil, err
	}
	store, err := openStore()
	if err != nil {
		return nil, err
	}
	return connected{bootstrap.New(bootstrap.Deps{Engine: engine, Host: store, Version: version.Version}), engine, store}, nil
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
