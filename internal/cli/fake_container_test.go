package cli

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gateway"
	"openshell.ai/openshell/pkg/usercontainer"
)

// fakeContainers are the user containers that the file says there are.
type fakeContainers struct{ *fakeEngine }

var _ Containers = (*usercontainer.Manager)(nil)

func (f *fakeEngine) Containers() Containers { return fakeContainers{f} }

func (f fakeContainers) Run(ctx context.Context, opts usercontainer.Options, out usercontainer.Progress) (string, error) {
	asked, err := json.Marshal(opts)
	if err != nil {
		return "", err
	}
	out.Step("create sidecar", "it joins the VPN")(true)
	if opts.Name == "" {
		opts.Name = "chosen"
	}
	return opts.Name, f.ask(ctx, "container run %s", asked)
}

func (f fakeContainers) Start(ctx context.Context, on gateway.Name, name string, _ usercontainer.Progress) error {
	return f.ask(ctx, "container start %s %s", on, name)
}

func (f fakeContainers) Remove(ctx context.Context, on gateway.Name, name string, _ usercontainer.Progress) error {
	return f.ask(ctx, "container rm %s %s", on, name)
}

func (f fakeContainers) List(ctx context.Context, on gateway.Name) (usercontainer.Listing, error) {
	list := usercontainer.Listing{Containers: f.UserContainers}
	if f.Problem != nil {
		list.Problem = f.Problem
	}
	return list, f.ask(ctx, "container list %s", on)
}

func (f fakeContainers) Await(_ context.Context, on gateway.Name, name string, _ time.Duration) (usercontainer.Container, error) {
	for _, c := range f.UserContainers {
		if c.Name == name {
			return c, nil
		}
	}
	return usercontainer.Container{}, fault.New(fault.Timeout, fault.ExitTimeout, "container %s has not joined the VPN of gateway %s", name, on)
}

func (f fakeContainers) Follow(ctx context.Context, _ gateway.Name, _ string, w io.Writer) error {
	if _, err := io.WriteString(w, f.Log); err != nil {
		return err
	}
	if f.Attached {
		<-ctx.Done()
		return errors.New("the stream ended")
	}
	return nil
}
