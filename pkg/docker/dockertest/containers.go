package dockertest

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"openshell.ai/openshell/pkg/docker"
)

type container struct {
	docker.Container
	spec   docker.ContainerSpec
	files  map[string]File // the writable layer
	log    []logLine
	byUser bool // stopped by StopContainer: unless-stopped does not bring it back
}

type portKey struct {
	port  int
	proto string
}

// find looks a container up by name, id or unique id prefix. The lock is held.
func (f *Fake) find(ref string) *container {
	ref = strings.TrimPrefix(ref, "/")
	for _, c := range f.containers {
		if c.Name == ref || c.ID == ref {
			return c
		}
	}
	for _, c := range f.containers {
		if len(ref) >= 12 && strings.HasPrefix(c.ID, ref) {
			return c
		}
	}
	return nil
}

func (f *Fake) get(op, ref string) (*container, error) {
	if c := f.find(ref); c != nil {
		return c, nil
	}
	return nil, docker.NewError(docker.NotFound, op, ref, "No such container: %s", ref)
}

func (c *container) running() bool {
	return c.State == docker.StateRunning || c.State == docker.StatePaused || c.State == docker.StateRestarting
}

func (c *container) snapshot() docker.Container {
	s := c.Container
	s.Labels, s.NetworkIDs, s.Volumes = copyMap(s.Labels), copyMap(s.NetworkIDs), copyMap(s.Volumes)
	s.Networks, s.Ports = slices.Clone(s.Networks), slices.Clone(s.Ports)
	return s
}

// Container implements docker.Engine.
func (f *Fake) Container(ctx context.Context, ref string) (docker.Container, error) {
	return do(ctx, f, Call{Op: "Container", Ref: ref}, func() (docker.Container, error) {
		c, err := f.get("inspect container", ref)
		if err != nil {
			return docker.Container{}, err
		}
		return c.snapshot(), nil
	})
}

// Containers implements docker.Engine.
func (f *Fake) Containers(ctx context.Context, labels map[string]string) ([]docker.Container, error) {
	return do(ctx, f, Call{Op: "Containers"}, func() ([]docker.Container, error) {
		var out []docker.Container
		for _, c := range f.containers {
			if matches(c.Labels, labels) {
				out = append(out, c.snapshot())
			}
		}
		return out, nil
	})
}

// CreateContainer implements docker.Engine. A volume that does not exist is
// created without labels, as the engine does.
func (f *Fake) CreateContainer(ctx context.Context, spec docker.ContainerSpec) (string, error) {
	return do(ctx, f, Call{Op: "CreateContainer", Ref: spec.Name}, func() (string, error) {
		const op = "create container"
		img := f.findImage(spec.Image)
		if img == nil {
			return "", docker.NewError(docker.NotFound, op, spec.Name, "No such image: %s", spec.Image)
		}
		if c := f.find(spec.Name); spec.Name != "" && c != nil {
			return "", docker.NewError(docker.Conflict, op, spec.Name,
				"Conflict. The container name %q is already in use by container %q", "/"+spec.Name, c.ID)
		}
		c := &container{spec: spec, files: map[string]File{}}
		c.Container = docker.Container{
			ID: f.id("container"), Name: spec.Name, State: docker.StateCreated, CreatedAt: f.now,
			Labels: mergeLabels(img.Labels, spec.Labels), Hostname: spec.Hostname, ImageID: img.ID, ImageRef: spec.Image,
			RestartPolicy: spec.RestartPolicy, Volumes: copyMap(spec.Volumes), Ports: slices.Clone(spec.Ports),
			NetworkIDs: map[string]string{}, NanoCPUs: spec.NanoCPUs, Memory: spec.Memory,
		}
		slices.SortFunc(c.Ports, func(a, b docker.Port) int {
			return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Proto, b.Proto), cmp.Compare(a.Bind, b.Bind))
		})
		if c.Name == "" {
			c.Name = "unnamed_" + c.ID[:8]
		}
		if c.Hostname == "" {
			c.Hostname = c.ID[:12]
		}
		if c.RestartPolicy == "" {
			c.RestartPolicy = "no"
		}
		if err := f.attach(c); err != nil {
			return "", err
		}
		for _, name := range spec.Volumes {
			if f.volumes[name] == nil {
				f.volumes[name] = f.newVolume(name, nil)
			}
		}
		f.containers = append(f.containers, c)
		return c.ID, nil
	})
}

// attach says which network a new container is on. The lock is held.
func (f *Fake) attach(c *container) error {
	if of := c.spec.NetworkOf; of != "" {
		target, err := f.get("create container", of)
		if err != nil {
			return err
		}
		c.NetworkOf = target.ID
		return nil
	}
	network := c.spec.Network
	if network == "" {
		network = "bridge"
	}
	c.Networks = []string{network}
	c.NetworkIDs[network] = "" // known from the first start on, as in Docker 20.10
	return nil
}

func mergeLabels(image, own map[string]string) map[string]string {
	out := copyMap(image)
	for k, v := range own {
		out[k] = v
	}
	return out
}

// StartContainer implements docker.Engine.
func (f *Fake) StartContainer(ctx context.Context, ref string) error {
	var started *container // set even when the answer is lost
	err := do0(ctx, f, Call{Op: "StartContainer", Ref: ref}, func() error {
		c, err := f.get("start container", ref)
		if err != nil || c.State == docker.StateRunning || c.State == docker.StateRestarting {
			return err
		}
		if err := f.start(c); err != nil {
			return err
		}
		started = c
		return nil
	})
	if started != nil {
		f.afterStart(started)
	}
	return err
}

// start is StartContainer of one that does not run. The lock is held.
func (f *Fake) start(c *container) error {
	const op = "start container"
	if c.State == docker.StatePaused {
		return docker.NewError(docker.Other, op, c.Name, "cannot start a paused container, try unpause instead")
	}
	if c.State == docker.StateRemoving || c.State == docker.StateDead {
		return docker.NewError(docker.Other, op, c.Name, "container is marked for removal and cannot be started")
	}
	if c.NetworkOf != "" {
		if err := f.joinable(c); err != nil {
			c.ExitCode = 128
			return err
		}
	}
	for name, id := range c.NetworkIDs {
		if n := f.findNetwork(name); n == nil || (id != "" && n.ID != id && !builtin(name)) {
			c.ExitCode = 128
			return docker.NewError(docker.NetworkMissing, op, c.Name, "network %s not found", id)
		}
	}
	for _, p := range c.Ports {
		if err := f.portFree(c, p); err != nil {
			c.ExitCode = 128
			return err
		}
	}
	for name := range c.NetworkIDs {
		c.NetworkIDs[name] = f.findNetwork(name).ID
	}
	c.State, c.StartedAt, c.ExitCode, c.OOMKilled, c.byUser = docker.StateRunning, f.now, 0, false, false
	return nil
}

// joinable reports why a container cannot share the network of another.
func (f *Fake) joinable(c *container) error {
	target, err := f.get("start container", c.NetworkOf)
	if err == nil && !target.running() {
		err = docker.NewError(docker.NotRunning, "start container", c.Name, "cannot join network of a non running container: %s", target.ID)
	}
	return err
}

func (f *Fake) portFree(c *container, p docker.Port) error {
	taken := func(format string, args ...any) error {
		e := docker.NewError(docker.PortInUse, "start container", c.Name, format, args...)
		e.Port = p.Host
		return e
	}
	if f.occupied[portKey{p.Host, p.Proto}] {
		return taken("Error starting userland proxy: listen %s4 %s:%d: bind: address already in use", p.Proto, p.Bind, p.Host)
	}
	for _, other := range f.containers {
		if other == c || !other.running() {
			continue
		}
		for _, q := range other.Ports {
			if q.Host == p.Host && q.Proto == p.Proto && overlap(p.Bind, q.Bind) {
				return taken("Bind for %s:%d failed: port is already allocated", p.Bind, p.Host)
			}
		}
	}
	return nil
}

func overlap(a, b string) bool {
	anyAddr := func(s string) bool { return s == "" || s == "0.0.0.0" || s == "::" }
	return a == b || anyAddr(a) || anyAddr(b)
}

// afterStart plays the container's process. The lock is not held.
func (f *Fake) afterStart(c *container) {
	f.mu.Lock()
	hook, s := f.onStart, c.snapshot()
	f.mu.Unlock()
	if hook != nil && s.State == docker.StateRunning {
		hook(f, s)
	}
}

// StopContainer implements docker.Engine. A running process ends with 0.
func (f *Fake) StopContainer(ctx context.Context, ref string, _ time.Duration) error {
	return do0(ctx, f, Call{Op: "StopContainer", Ref: ref}, func() error {
		c, err := f.get("stop container", ref)
		if err != nil {
			return err
		}
		if c.running() {
			c.byUser = true
			f.exited(c, 0)
		}
		return nil
	})
}

// exited ends the process for good. The lock is held.
func (f *Fake) exited(c *container, code int) {
	c.State, c.ExitCode = docker.StateExited, code
	if c.spec.AutoRemove {
		f.drop(c)
	}
	f.notify()
}

func (f *Fake) drop(c *container) {
	f.containers = slices.DeleteFunc(f.containers, func(o *container) bool { return o == c })
}

// PauseContainer implements docker.Engine.
func (f *Fake) PauseContainer(ctx context.Context, ref string) error {
	return do0(ctx, f, Call{Op: "PauseContainer", Ref: ref}, func() error {
		c, err := f.get("pause container", ref)
		if err != nil {
			return err
		}
		if c.State != docker.StateRunning {
			return docker.NewError(docker.NotRunning, "pause container", ref, "Container %s is not running", ref)
		}
		c.State = docker.StatePaused
		return nil
	})
}

// UnpauseContainer implements docker.Engine.
func (f *Fake) UnpauseContainer(ctx context.Context, ref string) error {
	return do0(ctx, f, Call{Op: "UnpauseContainer", Ref: ref}, func() error {
		c, err := f.get("unpause container", ref)
		if err != nil {
			return err
		}
		if c.State != docker.StatePaused {
			return docker.NewError(docker.Other, "unpause container", ref, "Container %s is not paused", ref)
		}
		c.State = docker.StateRunning
		return nil
	})
}

// RemoveContainer implements docker.Engine.
func (f *Fake) RemoveContainer(ctx context.Context, ref string) error {
	return do0(ctx, f, Call{Op: "RemoveContainer", Ref: ref}, func() error {
		c, err := f.get("remove container", ref)
		if err != nil {
			return err
		}
		f.drop(c)
		return nil
	})
}

// PurgeContainer implements docker.Engine. The fake makes no volumes without names.
func (f *Fake) PurgeContainer(ctx context.Context, ref string) error {
	return do0(ctx, f, Call{Op: "PurgeContainer", Ref: ref}, func() error {
		c, err := f.get("remove container", ref)
		if err != nil {
			return err
		}
		f.drop(c)
		return nil
	})
}

// WaitContainer implements docker.Engine.
func (f *Fake) WaitContainer(ctx context.Context, ref string) (int, error) {
	c, err := do(ctx, f, Call{Op: "WaitContainer", Ref: ref}, func() (*container, error) { return f.get("wait for container", ref) })
	if err != nil {
		return 0, err
	}
	code := 0
	err = f.until(ctx, func() bool {
		code = c.ExitCode
		return !c.running() || !slices.Contains(f.containers, c)
	})
	return code, err
}

// WaitRemoved implements docker.Engine.
func (f *Fake) WaitRemoved(ctx context.Context, ref string) error {
	c, err := do(ctx, f, Call{Op: "WaitRemoved", Ref: ref}, func() (*container, error) { return f.find(ref), nil })
	if err != nil {
		return err
	}
	return f.until(ctx, func() bool { return c == nil || !slices.Contains(f.containers, c) })
}

// SetRestartPolicy implements docker.Engine.
func (f *Fake) SetRestartPolicy(ctx context.Context, ref, policy string) error {
	return do0(ctx, f, Call{Op: "SetRestartPolicy", Ref: ref, Note: policy}, func() error {
		c, err := f.get("update container", ref)
		if err != nil {
			return err
		}
		c.RestartPolicy = policy
		return nil
	})
}
