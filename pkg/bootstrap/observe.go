package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gateway"
	"openshell.ai/openshell/pkg/nodeapi"
)

// Observe takes a snapshot of a gateway: everything of Docker and the host that
// Decide needs for these options, and no more. Only what the engine says is not
// found is absent; any other error ends it.
func (m *Manager) Observe(ctx context.Context, opts StartOptions) (Observed, error) {
	o, err := m.glance(ctx, opts.Name)
	if err != nil {
		return Observed{}, observeError(ctx, err)
	}
	if len(o.foreign()) > 0 {
		return o, nil
	}
	if err := m.observeState(ctx, &o, look{helper: true, session: true}); err != nil {
		o.session.Close()
		return Observed{}, observeError(ctx, err)
	}
	if err := m.observeSurroundings(ctx, &o, opts); err != nil {
		o.session.Close()
		return Observed{}, observeError(ctx, err)
	}
	return o, nil
}

// glance looks at what exists.
func (m *Manager) glance(ctx context.Context, name gateway.Name) (Observed, error) {
	began := time.Now()
	o := Observed{Name: name, At: began.UTC().Truncate(time.Second)}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		o.Container, err = present(m.Engine.Container(ctx, name.Resource()))
		return err
	})
	g.Go(func() (err error) {
		o.Volume, err = present(m.Engine.Volume(ctx, name.Resource()))
		return err
	})
	g.Go(func() (err error) {
		o.Network, err = present(m.Engine.Network(ctx, name.Resource()))
		return err
	})
	g.Go(func() error {
		helper, err := present(m.Engine.Container(ctx, helperName(name)))
		o.Helper = helper != nil && name.Owns(helper.Labels) && m.leftover(*helper)
		return err
	})
	g.Go(func() error {
		active, err := m.Host.Active()
		if err != nil {
			// A damaged selection concerns only those who ask for it. It is none
			// that a start may replace.
			o.NoneActive = errors.Is(err, fs.ErrNotExist)
			return nil
		}
		o.Active = active
		return nil
	})
	err := g.Wait()
	o.Latency = time.Since(began)
	return o, err
}

// present turns "not found" into nil and nothing else.
func present[T any](v T, err error) (*T, error) {
	if docker.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &v, nil
}

// look says how deep a look may go.
type look struct {
	helper  bool // use helper containers, under the gateway's lock; else some of a volume's content stays unknown
	session bool // prepare the way to the Secrets of a healthy gateway
}

// observeState looks into the volume and at the running node, side by side.
func (m *Manager) observeState(ctx context.Context, o *Observed, l look) error {
	if o.Word() == Removing {
		return nil
	}
	g, ctx := errgroup.WithContext(ctx)
	if o.Volume != nil {
		g.Go(func() error { return m.observeVolume(ctx, o, l.helper) })
	}
	if o.Container != nil && o.Container.State == docker.StateRunning {
		g.Go(func() error { return m.observeHealth(ctx, o, l) })
	}
	if o.Container != nil && o.Container.State == docker.StateRestarting {
		g.Go(func() error {
			text, err := m.tail(ctx, o.Container.ID, 5)
			o.LastLine = docker.LastLine(text)
			return err
		})
	}
	return g.Wait()
}

// observeHealth asks the endpoint, and the node only when that does not answer.
func (m *Manager) observeHealth(ctx context.Context, o *Observed, l look) error {
	var early sync.WaitGroup
	if l.session {
		early.Go(func() {
			session, err := m.Cluster.Open(ctx, o.Container.ID)
			if err == nil { // else it is tried again, and reported, when it is used
				o.session, o.Edge = session, session.Edge
			}
		})
	}
	o.Unhealthy = m.probe(ctx, o.Name, endpointOf(o.Container.Ports))
	o.Healthy = o.Unhealthy == nil
	early.Wait()
	if o.Healthy || ctx.Err() != nil {
		return ctx.Err()
	}
	o.session.Close() // the credentials of a boot that is not over may be older than it
	o.session, o.Edge = nil, nil
	ctx, cancel := context.WithTimeout(ctx, o.answerTime())
	defer cancel()
	status, err := m.Node.Status(ctx, o.Container.ID)
	switch {
	case err == nil:
		o.Node = &status
	case docker.IsUnreachable(err):
		return err
	default:
		// A node that is just coming up or hangs has no report.
		o.Unhealthy = fmt.Errorf("%w; node report: %w", o.Unhealthy, err)
	}
	return nil
}

// probe asks whether the endpoint is healthy with the bundle on disk.
func (m *Manager) probe(ctx context.Context, name gateway.Name, endpoint string) error {
	if endpoint == "" {
		return errors.New("the container publishes no gateway port")
	}
	bundle, err := m.Host.Bundle(name)
	if err != nil {
		return err
	}
	return m.Prober.Ready(ctx, endpoint, bundle)
}

// observeVolume reads gateway.json through the container, or through a helper
// that is created over the volume and never started.
func (m *Manager) observeVolume(ctx context.Context, o *Observed, helper bool) error {
	if o.Container != nil {
		if o.Container.Volumes[stateMount] != o.Volume.Name {
			return fmt.Errorf("container %s does not have volume %s at %s", o.Container.Name, o.Volume.Name, stateMount)
		}
		data, err := m.Engine.ReadFile(ctx, o.Container.ID, nodeapi.SettingsFile)
		return m.judge(ctx, o, judged{data, err, helper})
	}
	if !helper {
		return nil
	}
	images, err := m.Engine.Images(ctx, map[string]string{imageLabel: imageKind})
	if err != nil {
		return err
	}
	o.Images = images
	if len(images) == 0 {
		return nil // ContentUnknown
	}
	var data []byte
	readErr := m.withHelper(ctx, o.Name, helperSpec{image: images[0].ID}, func(id string) (err error) {
		data, err = m.Engine.ReadFile(ctx, id, nodeapi.SettingsFile)
		return err
	})
	o.Helper = false // taken over and removed
	return m.judge(ctx, o, judged{data, readErr, true})
}

// judged is the answer to reading gateway.json, and whether to look further.
type judged struct {
	data   []byte
	err    error
	helper bool
}

// judge decides what a volume holds.
func (m *Manager) judge(ctx context.Context, o *Observed, j judged) error {
	if j.err != nil && !docker.IsFileNotFound(j.err) {
		return j.err
	}
	why := j.err
	if why == nil {
		if o.Settings, why = gateway.DecodeSettings(j.data); why == nil && o.Settings.Name != o.Name {
			why = fmt.Errorf("gateway.json: name is %q, not %q", o.Settings.Name, o.Name)
		}
	}
	if why == nil {
		o.Content = ContentSettings
		if o.Settings.Initialized != nil || up(o.Container) {
			return nil
		}
	}
	if errors.Is(why, gateway.ErrNewer) {
		o.Content, o.Damage = ContentNewer, why
		return nil
	}
	if !j.helper {
		return nil
	}
	// Only now does it matter what else is there.
	image, err := m.helperImage(ctx, *o)
	if fault.HasID(err, fault.ImageMissing) {
		if why != nil && j.err == nil {
			o.Content, o.Damage = ContentDamaged, why
		}
		return nil
	}
	if err != nil {
		return err
	}
	entries, err := m.listVolume(ctx, o.Name, image)
	if err != nil {
		return err
	}
	o.Helper = false
	o.Asides = entries.asides
	switch {
	case why == nil:
	case entries.state:
		o.Content, o.Damage = ContentDamaged, why
	default:
		o.Content = ContentEmpty
	}
	return nil
}

// tail is the end of a container's log.
func (m *Manager) tail(ctx context.Context, container string, lines int) (string, error) {
	r, err := m.Engine.Logs(ctx, container, docker.LogOptions{Tail: lines})
	if err != nil {
		return "", err
	}
	defer r.Close()
	var b strings.Builder
	_, err = copyLimited(&b, r)
	return b.String(), err
}
