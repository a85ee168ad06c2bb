package docker

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/client"
	"github.com/moby/moby/client/pkg/versions"

	"openshell.ai/openshell/pkg/fault"
)

// minAPI is the API of Docker Engine 20.10, the first with cgroup v2 and
// private cgroup namespaces.
const minAPI = "1.41"

// answerLimit is how long an engine may take to answer its first request: a
// desktop's virtual machine may have to wake up.
const answerLimit = 15 * time.Second

// Operations whose name decides how a message is read.
const (
	opStart    = "start container"
	opReadFile = "read file"
)

type engine struct {
	api *client.Client
	ep  endpoint
}

// Connect finds the local engine as the docker command does, by DOCKER_HOST,
// DOCKER_CONTEXT, the current Docker context or the usual sockets, and checks
// that it answers with API 1.41 or later. The newest that both know is spoken,
// whatever DOCKER_API_VERSION says. getenv is os.Getenv, or a test's.
//
// Errors are *fault.Error: DockerUnreachable, DockerRemote or DockerTooOld.
func Connect(ctx context.Context, getenv func(string) string) (Engine, error) {
	ep, err := discover(getenv, runtime.GOOS)
	if err != nil {
		return nil, err
	}
	return connect(ctx, ep)
}

func connect(ctx context.Context, ep endpoint) (Engine, error) {
	api, err := client.New(client.WithHost(ep.host))
	if err != nil {
		return nil, unreachable(ep, err)
	}
	pingCtx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	ping, err := api.Ping(pingCtx, client.PingOptions{NegotiateAPIVersion: true})
	if ping.APIVersion != "" && versions.LessThan(ping.APIVersion, minAPI) {
		err = fault.New(fault.DockerTooOld, fault.ExitUnreachable,
			"the Docker Engine at %s has API %s; %s or later is needed", ep.host, ping.APIVersion, minAPI).
			Hint("update Docker to 20.10 or later")
	} else if err != nil && ctx.Err() == nil {
		err = unreachable(ep, err)
	}
	if err != nil {
		_ = api.Close() // nothing was sent that could be lost
		return nil, err
	}
	return &engine{api, ep}, nil
}

// unreachable is the error for an endpoint that does not answer.
func unreachable(ep endpoint, cause error) *fault.Error {
	e := fault.New(fault.DockerUnreachable, fault.ExitUnreachable, "the Docker Engine at %s does not answer", ep.host)
	if has(strings.ToLower(cause.Error()), "permission denied", "access is denied") {
		e = fault.New(fault.DockerUnreachable, fault.ExitUnreachable, "no permission to use the Docker Engine at %s", ep.host)
		if runtime.GOOS == "linux" {
			e = e.Hint("add yourself to the group docker, then log in again: `sudo usermod -aG docker $USER`")
		}
	} else {
		e = e.Hint("start Docker, then try again; `docker info` says whether it runs")
	}
	return e.Hint("the endpoint comes from %s", ep.source).Because(cause)
}

func (d *engine) Close() error { return d.api.Close() }

func (d *engine) Endpoint() string { return d.ep.host }

// fail is err in this package's vocabulary; nil stays nil.
func (d *engine) fail(op, ref string, err error) error {
	if err == nil {
		return nil
	}
	var own *Error
	if errors.As(err, &own) {
		return err
	}
	kind, port := classify(op, err)
	switch {
	case kind == Unreachable:
		err = unreachable(d.ep, err)
	case has(err.Error(), "client version") && has(err.Error(), "is too old"):
		err = fault.New(fault.DockerTooNew, fault.ExitUnreachable,
			"the Docker Engine at %s no longer knows API %s, the newest that this openshell does", d.ep.host, d.api.ClientVersion()).
			Hint("update openshell").Because(err)
	}
	return &Error{Kind: kind, Op: op, Ref: ref, Port: port, Err: err}
}

func (d *engine) Info(ctx context.Context) (Info, error) {
	res, err := d.api.Info(ctx, client.InfoOptions{})
	if err != nil {
		return Info{}, d.fail("engine info", "", err)
	}
	i := res.Info
	out := Info{
		Endpoint: d.ep.host, ServerVersion: i.ServerVersion, APIVersion: d.api.ClientVersion(),
		OS: i.OSType, Arch: goarch(i.Architecture), Name: i.Name, System: i.OperatingSystem, Kernel: i.KernelVersion,
		RootDir: i.DockerRootDir, StorageDriver: i.Driver, CgroupVersion: 1,
		NoForwarding: !i.IPv4Forwarding, LiveRestore: i.LiveRestoreEnabled,
		NCPU: i.NCPU, MemTotal: i.MemTotal, SystemTime: parseTime(i.SystemTime), Warnings: i.Warnings,
	}
	if i.CgroupVersion == "2" {
		out.CgroupVersion = 2
	}
	for _, controller := range []struct {
		name string
		has  bool
	}{{"memory", i.MemoryLimit}, {"cpu", i.CPUCfsQuota}, {"cpuset", i.CPUSet}} {
		if !controller.has {
			out.NoControllers = append(out.NoControllers, controller.name)
		}
	}
	for _, status := range i.DriverStatus {
		switch status[0] {
		case "Backing Filesystem":
			out.BackingFS = status[1]
		case "Supports d_type":
			out.NoDType = status[1] == "false"
		}
	}
	out.Rootless = secured(i.SecurityOptions, "rootless")
	out.UserRemap = secured(i.SecurityOptions, "userns")
	out.NoSeccomp = i.OSType == "linux" && !secured(i.SecurityOptions, "seccomp")
	return out, nil
}

// secured looks for an option of the form "name=NAME,profile=default".
func secured(options []string, name string) bool {
	return slices.ContainsFunc(options, func(o string) bool { return slices.Contains(strings.Split(o, ","), "name="+name) })
}

// goarch turns the kernel's machine name, which the engine reports, into
// GOARCH.
func goarch(machine string) string {
	switch machine {
	case "x86_64":
		return "amd64"
	case "aarch64", "armv8l":
		return "arm64"
	}
	return machine
}

// parseTime reads the engine's timestamps. The year 1, which it writes for
// "never", and what cannot be read give the zero time.
func parseTime(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || t.Year() <= 1 {
		return time.Time{}
	}
	return t
}

func labelFilter(labels map[string]string) client.Filters {
	f := client.Filters{}
	for k, v := range labels {
		f = f.Add("label", k+"="+v)
	}
	return f
}
