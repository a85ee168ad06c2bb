package docker

import (
	"context"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"golang.org/x/sync/errgroup"
)

func (d *engine) Container(ctx context.Context, ref string) (Container, error) {
	res, err := d.api.ContainerInspect(ctx, ref, client.ContainerInspectOptions{})
	if err != nil {
		return Container{}, d.fail("inspect container", ref, err)
	}
	return inspected(res.Container), nil
}

// Containers inspects every match: the engine's list lacks restart policies,
// counts and the ports of stopped containers.
func (d *engine) Containers(ctx context.Context, labels map[string]string) ([]Container, error) {
	list, err := d.api.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: labelFilter(labels)})
	if err != nil {
		return nil, d.fail("list containers", "", err)
	}
	found := make([]*Container, len(list.Items))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for i, item := range list.Items {
		g.Go(func() error {
			c, err := d.Container(ctx, item.ID)
			if IsNotFound(err) {
				return nil // removed since it was listed
			}
			found[i] = &c
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var out []Container
	for _, c := range found {
		if c != nil {
			out = append(out, *c)
		}
	}
	return out, nil
}

func (d *engine) CreateContainer(ctx context.Context, spec ContainerSpec) (string, error) {
	const op = "create container"
	opts, err := createOptions(spec)
	if err != nil {
		return "", &Error{Kind: Other, Op: op, Ref: spec.Name, Err: err}
	}
	res, err := d.api.ContainerCreate(ctx, opts)
	return res.ID, d.fail(op, spec.Name, err)
}

func (d *engine) StartContainer(ctx context.Context, ref string) error {
	_, err := d.api.ContainerStart(ctx, ref, client.ContainerStartOptions{})
	return d.fail(opStart, ref, err)
}

func (d *engine) StopContainer(ctx context.Context, ref string, timeout time.Duration) error {
	_, err := d.api.ContainerStop(ctx, ref, client.ContainerStopOptions{Timeout: new(seconds(timeout))})
	return d.fail("stop container", ref, err)
}

// seconds rounds up, so that a short timeout is not none.
func seconds(t time.Duration) int { return int((t + time.Second - 1) / time.Second) }

func (d *engine) PauseContainer(ctx context.Context, ref string) error {
	_, err := d.api.ContainerPause(ctx, ref, client.ContainerPauseOptions{})
	return d.fail("pause container", ref, err)
}

func (d *engine) UnpauseContainer(ctx context.Context, ref string) error {
	_, err := d.api.ContainerUnpause(ctx, ref, client.ContainerUnpauseOptions{})
	return d.fail("unpause container", ref, err)
}

// RemoveContainer joins a removal that is under way.
func (d *engine) RemoveContainer(ctx context.Context, ref string) error {
	return d.remove(ctx, ref, client.ContainerRemoveOptions{Force: true})
}

func (d *engine) PurgeContainer(ctx context.Context, ref string) error {
	return d.remove(ctx, ref, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
}

func (d *engine) remove(ctx context.Context, ref string, opts client.ContainerRemoveOptions) error {
	const op = "remove container"
	_, err := d.api.ContainerRemove(ctx, ref, opts)
	if err != nil && has(err.Error(), "is already in progress") {
		return d.WaitRemoved(ctx, ref)
	}
	return d.fail(op, ref, err)
}

func (d *engine) WaitContainer(ctx context.Context, ref string) (int, error) {
	code, err := d.wait(ctx, ref, container.WaitConditionNotRunning)
	return code, d.fail("wait for container", ref, err)
}

func (d *engine) WaitRemoved(ctx context.Context, ref string) error {
	_, err := d.wait(ctx, ref, container.WaitConditionRemoved)
	err = d.fail("wait for removal of container", ref, err)
	if IsNotFound(err) {
		return nil
	}
	return err
}

func (d *engine) wait(ctx context.Context, ref string, until container.WaitCondition) (int, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := d.api.ContainerWait(ctx, ref, client.ContainerWaitOptions{Condition: until})
	select {
	case res := <-w.Result:
		if res.Error != nil && res.Error.Message != "" {
			return 0, errors.New(res.Error.Message)
		}
		return int(res.StatusCode), nil
	case err := <-w.Error:
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF // the engine went away before it answered
		}
		return 0, err
	}
}

func (d *engine) SetRestartPolicy(ctx context.Context, ref, policy string) error {
	_, err := d.api.ContainerUpdate(ctx, ref, client.ContainerUpdateOptions{
		RestartPolicy: &container.RestartPolicy{Name: container.RestartPolicyMode(policy)},
	})
	return d.fail("update container", ref, err)
}

func (d *engine) Logs(ctx context.Context, ref string, opts LogOptions) (io.ReadCloser, error) {
	o := client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true, Follow: opts.Follow}
	if opts.Tail > 0 {
		o.Tail = strconv.Itoa(opts.Tail)
	}
	if !opts.Since.IsZero() {
		o.Since = opts.Since.Format(time.RFC3339Nano)
	}
	ctx, cancel := context.WithCancel(ctx)
	src, err := d.api.ContainerLogs(ctx, ref, o)
	if err != nil {
		cancel()
		return nil, d.fail("read logs", ref, err)
	}
	r, w := io.Pipe()
	go func() {
		_, err := stdcopy.StdCopy(w, w, src)
		err = errors.Join(err, src.Close())
		w.CloseWithError(d.fail("read logs", ref, err))
	}()
	return &logStream{r, cancel}, nil
}

type logStream struct {
	*io.PipeReader
	cancel context.CancelFunc
}

func (l *logStream) Close() error {
	l.cancel()
	return l.PipeReader.Close()
}

// inspected translates what the engine says of a container.
func inspected(in container.InspectResponse) Container {
	c := Container{
		ID: in.ID, Name: trimSlash(in.Name), Restarts: in.RestartCount, CreatedAt: parseTime(in.Created), ImageID: in.Image,
		NetworkIDs: map[string]string{}, Volumes: map[string]string{},
	}
	if s := in.State; s != nil {
		c.State, c.ExitCode, c.OOMKilled = ContainerState(s.Status), s.ExitCode, s.OOMKilled
		c.StartedAt = parseTime(s.StartedAt)
	}
	if cfg := in.Config; cfg != nil {
		c.Labels, c.Hostname, c.ImageRef = cfg.Labels, cfg.Hostname, cfg.Image
	}
	if h := in.HostConfig; h != nil {
		c.RestartPolicy, c.NanoCPUs, c.Memory = string(h.RestartPolicy.Name), h.NanoCPUs, h.Memory
		if h.RestartPolicy.IsNone() {
			c.RestartPolicy = string(container.RestartPolicyDisabled) // engines before 25 keep an empty name
		}
		c.Ports = published(h.PortBindings)
		if shared, ok := strings.CutPrefix(string(h.NetworkMode), networkOf); ok {
			c.NetworkOf = shared
		}
	}
	for _, m := range in.Mounts {
		if m.Name != "" {
			c.Volumes[m.Destination] = m.Name
		}
	}
	if in.NetworkSettings != nil {
		for name, ep := range in.NetworkSettings.Networks {
			c.Networks = append(c.Networks, name)
			if ep != nil {
				c.NetworkIDs[name] = ep.NetworkID
			}
		}
		slices.Sort(c.Networks)
	}
	return c
}
