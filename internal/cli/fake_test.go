package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"openshell.ai/openshell/pkg/bootstrap"
	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gateway"
	"openshell.ai/openshell/pkg/nodeapi"
	"openshell.ai/openshell/pkg/usercontainer"
)

// fakeEngine answers from a file, so that a script can say what there is and
// read back what was asked. Its gateways live in memory only.
type fakeEngine struct {
	Gateways map[gateway.Name]bootstrap.Status `json:"gateways"`
	Started  bootstrap.StartResult             `json:"started"`
	Events   []bootstrap.Event                 `json:"events"`
	Checks   []nodeapi.Check                   `json:"checks"`
	Log      string                            `json:"log"`
	Exit     int                               `json:"exit"`
	Fail     *fault.Error                      `json:"fail"`
	Deaf     bool                              `json:"deaf"` // hangs, even then
	Hang     bool                              `json:"hang"` // until interrupted

	Bring      string                  `json:"bring"`      // host files of a gateway that Ensure brings up
	HostImages map[string]docker.Image `json:"hostImages"` // on the engine
	Stored     []nodeapi.Image         `json:"stored"`     // in the gateway

	Reloaded bootstrap.Reloaded `json:"reloaded"`
	Routed   bootstrap.Routes   `json:"routed"`
	Network  bootstrap.VPN      `json:"vpn"`
	Inside   bool               `json:"inside"` // of VPN packages

	UserContainers []usercontainer.Container `json:"userContainers"`
	Problem        *fault.Error              `json:"problem"`  // of a list of those
	Attached       bool                      `json:"attached"` // their output does not end

	asked io.Writer
}

// readFake reads the file; an empty path is a Docker without gateways.
func readFake(path, asked string) (*fakeEngine, error) {
	f := &fakeEngine{asked: io.Discard}
	if asked != "" {
		file, err := os.OpenFile(asked, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, err
		}
		f.asked = file
	}
	if path == "" {
		return f, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return f, json.Unmarshal(data, f)
}

func (f *fakeEngine) ask(ctx context.Context, format string, args ...any) error {
	fmt.Fprintf(f.asked, format+"\n", args...)
	if f.Deaf {
		select {}
	}
	if f.Hang {
		<-ctx.Done()
		return ctx.Err()
	}
	if f.Fail != nil {
		return f.Fail
	}
	return nil
}

func (f *fakeEngine) word(name gateway.Name) bootstrap.Word {
	if status, ok := f.Gateways[name]; ok {
		return status.Word
	}
	return bootstrap.Absent
}

func (f *fakeEngine) Start(ctx context.Context, opts bootstrap.StartOptions, sink bootstrap.Sink) (bootstrap.StartResult, error) {
	for _, event := range f.Events {
		sink.Event(event)
	}
	asked, err := json.Marshal(opts)
	if err != nil {
		return bootstrap.StartResult{}, err
	}
	result := f.Started
	result.Name = opts.Name
	return result, f.ask(ctx, "start %s", asked)
}

func (f *fakeEngine) Stop(ctx context.Context, name gateway.Name, _ bootstrap.Sink) (bootstrap.Word, error) {
	return f.word(name), f.ask(ctx, "stop %s", name)
}

func (f *fakeEngine) Destroy(ctx context.Context, name gateway.Name, _ bootstrap.Sink) (bootstrap.Word, error) {
	return f.word(name), f.ask(ctx, "destroy %s", name)
}

func (f *fakeEngine) Restorable(ctx context.Context, name gateway.Name) ([]nodeapi.Aside, error) {
	if err := f.ask(ctx, "restorable %s", name); err != nil || f.Gateways[name].Volume == nil {
		return nil, err
	}
	return f.Gateways[name].Volume.Restorable(), nil
}

func (f *fakeEngine) Restore(ctx context.Context, name gateway.Name, aside string, _ bootstrap.Sink) (string, error) {
	return "aside-20260202T000000Z", f.ask(ctx, "restore %s %s", name, aside)
}

func (f *fakeEngine) Status(ctx context.Context, name gateway.Name) (bootstrap.Status, error) {
	status, ok := f.Gateways[name]
	if !ok {
		status = bootstrap.Status{Word: bootstrap.Absent, Checks: []nodeapi.Check{}}
	}
	status.Name = name
	return status, f.ask(ctx, "status %s", name)
}

func (f *fakeEngine) List(ctx context.Context) ([]bootstrap.Summary, error) {
	var list []bootstrap.Summary
	for name, status := range f.Gateways {
		list = append(list, bootstrap.Summary{Name: name, Word: status.Word, Endpoint: status.Endpoint, Active: status.Active})
	}
	slices.SortFunc(list, func(a, b bootstrap.Summary) int { return strings.Compare(string(a.Name), string(b.Name)) })
	return list, f.ask(ctx, "list")
}

func (f *fakeEngine) Select(ctx context.Context, name gateway.Name) error {
	return f.ask(ctx, "select %s", name)
}

func (f *fakeEngine) Logs(ctx context.Context, name gateway.Name, tail int, follow bool, w io.Writer) error {
	io.WriteString(w, f.Log)
	return f.ask(ctx, "logs %s tail=%d follow=%v", name, tail, follow)
}

func (f *fakeEngine) Exec(ctx context.Context, name gateway.Name, argv []string, stdio bootstrap.Stdio) (int, error) {
	io.Copy(stdio.Out, stdio.In)
	return f.Exit, f.ask(ctx, "exec %s tty=%v %s", name, stdio.TTY, strings.Join(argv, " "))
}

func (f *fakeEngine) Check(ctx context.Context, name gateway.Name) ([]nodeapi.Check, error) {
	return f.Checks, f.ask(ctx, "check %s", name)
}

func (f *fakeEngine) Info(context.Context) (docker.Info, error) {
	return docker.Info{ServerVersion: "20.10.24", APIVersion: "1.41"}, nil
}

func (f *fakeEngine) Container(_ context.Context, name gateway.Name) (docker.Container, error) {
	return docker.Container{ID: strings.Repeat("0123456789abcdef", 4), Name: name.Resource()}, nil
}

func (f *fakeEngine) EdgeLog(_ context.Context, _ gateway.Name, file string) ([]byte, error) {
	return []byte(file + " says password=eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln\n"), nil
}

func (f *fakeEngine) Close() error { return nil }

func (f *fakeEngine) Endpoint() string { return "unix:///fake.sock" }

func (f *fakeEngine) Image(ctx context.Context, ref string) (docker.Image, error) {
	now, err := readFake(os.Getenv("FAKE"), "") // docker may have pulled it
	if err != nil {
		return docker.Image{}, err
	}
	if image, ok := now.HostImages[ref]; ok {
		return image, nil
	}
	return docker.Image{}, docker.NewError(docker.NotFound, "inspect image", ref, "no such image")
}

func (f *fakeEngine) SaveImage(_ context.Context, ref string) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader("archive of " + ref)), nil
}

func (f *fakeEngine) Ensure(ctx context.Context, opts bootstrap.EnsureOptions, sink bootstrap.Sink) (bootstrap.EnsureResult, error) {
	for _, event := range f.Events {
		sink.Event(event)
	}
	if f.Bring != "" { // a script's gateway is there as soon as its files are
		if err := os.CopyFS(os.Getenv("XDG_CONFIG_HOME"), os.DirFS(f.Bring)); err != nil {
			return bootstrap.EnsureResult{}, err
		}
	}
	return bootstrap.EnsureResult{}, f.ask(ctx, "ensure %s", opts.Name)
}

func (f *fakeEngine) Images(ctx context.Context, name gateway.Name) ([]nodeapi.Image, error) {
	return f.Stored, f.ask(ctx, "images %s", name)
}

func (f *fakeEngine) ImportImage(ctx context.Context, name gateway.Name, ref string, archive io.Reader) error {
	content, err := io.ReadAll(archive)
	if err != nil {
		return err
	}
	return f.ask(ctx, "import %s %s %q", name, ref, content)
}

func (f *fakeEngine) RemoveImages(ctx context.Context, name gateway.Name, refs []string) error {
	return f.ask(ctx, "remove %s %s", name, strings.Join(refs, " "))
}

func (f *fakeEngine) ResetEdge(ctx context.Context, name gateway.Name, sink bootstrap.Sink) error {
	for _, event := range f.Events {
		sink.Event(event)
	}
	return f.ask(ctx, "reset %s", name)
}

func (f *fakeEngine) ReloadEdge(ctx context.Context, name gateway.Name, opts bootstrap.ReloadOptions, _ bootstrap.Sink) (bootstrap.Reloaded, error) {
	return f.Reloaded, f.ask(ctx, "reload %s server=%s key=%q", name, opts.Server, opts.Key)
}

func (f *fakeEngine) Routes(ctx context.Context, name gateway.Name) (bootstrap.Routes, error) {
	return f.Routed, f.ask(ctx, "routes %s", name)
}

func (f *fakeEngine) VPN(ctx context.Context, name gateway.Name) (bootstrap.VPN, error) {
	return f.Network, f.ask(ctx, "vpn %s", name)
}

func (f *fakeEngine) VPNClient(ctx context.Context, name gateway.Name, opts bootstrap.ClientOptions) (bootstrap.ClientPackage, error) {
	err := f.ask(ctx, "vpn client %s %s remotes=%q port=%d renew=%t", name, opts.Client, opts.Remotes, opts.Port, opts.Renew)
	return bootstrap.ClientPackage{JSON: []byte(`{"token":"secret"}` + "\n"), Remote: "127.0.0.1:49100", Inside: f.Inside, Network: name.Resource()}, err
}

// fakeDeps are the real ones but for Docker, which is the file $FAKE, and the
// clock. FAKE_TTY pretends that the streams are a terminal.
func fakeDeps() Deps {
	deps := Wiring{}.deps()
	deps.Version = "v1.2.3"
	deps.Now = func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }
	deps.Engine = func(context.Context) (Engine, error) {
		engine, err := readFake(os.Getenv("FAKE"), os.Getenv("ASKED"))
		if err != nil {
			return nil, errors.Join(errors.New("fake"), err)
		}
		return engine, nil
	}
	if os.Getenv("FAKE_TTY") != "" {
		deps.InTTY, deps.ErrTTY = true, true
	}
	return deps
}
