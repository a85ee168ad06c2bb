package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gateway"
	"openshell.ai/openshell/pkg/nodeapi"
)

// lockPatience is how long a reader waits for the lock. Without it helpers are
// not used, and a little less is known.
const lockPatience = 200 * time.Millisecond

// answerTime is for what a running node is asked: it may be frozen, and whoever
// waits for it holds the lock. The calls of the engine that the question takes
// are not counted.
const (
	answerTime  = 3 * time.Second
	answerCalls = 4
)

func (o Observed) answerTime() time.Duration { return answerTime + answerCalls*o.Latency }

// Status implements Gateways. A gateway that does not exist has a status too.
func (m *Manager) Status(ctx context.Context, name gateway.Name) (Status, error) {
	s, err := m.status(ctx, name)
	if vanished(err) {
		s, err = m.status(ctx, name)
	}
	if err != nil {
		return Status{}, observeError(ctx, err)
	}
	return s, nil
}

// vanished reports that what was there at a glance was gone at the next look,
// as when a start makes the container anew: then one looks again.
func vanished(err error) bool { return docker.IsNotFound(err) && !docker.IsFileNotFound(err) }

func (m *Manager) status(ctx context.Context, name gateway.Name) (Status, error) {
	o, err := m.glance(ctx, name)
	if err != nil {
		return Status{}, err
	}
	s := Status{Name: name, Active: o.Active == name, Checks: []nodeapi.Check{}}
	if len(o.foreign()) > 0 {
		s.Word = Foreign
		s.Checks = append(s.Checks, nodeapi.Check{ID: "ownership", Message: foreignError(o).Error()})
		return s, nil
	}
	if err := m.lookInside(ctx, &o, &s); err != nil {
		return Status{}, err
	}
	if err := m.details(ctx, o, &s); err != nil {
		return Status{}, err
	}
	s.Remediation = remediation(o, s.Word)
	if s.Word == Running && s.Edge != nil && s.Edge.State == nodeapi.EdgeFailed {
		s.Remediation = append(s.Remediation, fmt.Sprintf("openshell gateway start %s", name))
	}
	return s, nil
}

// lookInside is the part that uses helpers, for which it takes the lock if
// nobody else has it. What a running node is asked comes afterwards: it may take
// its time, and whoever wants to start the gateway should not wait for that.
func (m *Manager) lookInside(ctx context.Context, o *Observed, s *Status) error {
	locked, unlock, err := m.tryLock(ctx, o.Name)
	if err != nil {
		return err
	}
	defer unlock()
	err = m.observeState(ctx, o, look{helper: locked})
	if fault.HasID(err, fault.Locked) { // another user's helper is there
		locked = false
		err = m.observeState(ctx, o, look{})
	}
	if err != nil {
		return err
	}
	s.describe(*o)
	if o.Volume == nil || !locked || o.Word() == Removing || o.up() {
		return nil
	}
	asides, err := m.restorable(ctx, *o)
	return s.asides(asides, err)
}

// asides fills in what can be brought back, or why it is not known.
func (s *Status) asides(all []nodeapi.Aside, err error) error {
	switch {
	case docker.IsUnreachable(err):
		return err
	case err != nil:
		s.check("asides", err)
	default:
		s.Volume.Asides = ofKind(all, nodeapi.AsidePrefix)
		s.Volume.Snapshots = ofKind(all, nodeapi.SnapshotPrefix)
		s.Volume.Databases = ofKind(all, nodeapi.DatabasePrefix)
	}
	return nil
}

// tryLock takes the lock if nobody works on the gateway.
func (m *Manager) tryLock(ctx context.Context, name gateway.Name) (locked bool, unlock func(), err error) {
	short, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	unlock, err = m.Host.Lock(short, name, nil)
	if fault.HasID(err, fault.Locked) && ctx.Err() == nil {
		return false, func() {}, nil
	}
	return err == nil, unlock, err
}

// describe fills in what one snapshot knows.
func (s *Status) describe(o Observed) {
	s.Word, s.Healthy, s.Node = o.Word(), o.Healthy, o.Node
	if o.Content == ContentSettings {
		s.Settings = &o.Settings
		s.Endpoint = endpointOf(publishedPorts(o.Settings))
	}
	if c := o.Container; c != nil {
		if s.Endpoint == "" {
			s.Endpoint = endpointOf(c.Ports)
		}
		s.Container = &ContainerStatus{ID: c.ID, State: string(c.State), Image: c.ImageID, Restarts: c.Restarts, StartedAt: c.StartedAt}
		if c.State == docker.StateRunning {
			s.check("endpoint", o.Unhealthy)
		}
		if c.RestartPolicy != restartPolicy {
			s.check("restart-policy", fmt.Errorf("it is %q, not %q", c.RestartPolicy, restartPolicy))
		}
	}
	if o.Volume != nil {
		s.Volume = &VolumeStatus{Name: o.Volume.Name, Asides: []nodeapi.Aside{}, Snapshots: []nodeapi.Aside{}, Databases: []nodeapi.Aside{}}
	}
	if o.Content == ContentDamaged || o.Content == ContentNewer {
		s.check("settings", o.Damage)
	}
	if o.Network != nil {
		s.Network = &NetworkStatus{Name: o.Network.Name}
		if subnet, ok := ipv4Subnet(o.Network); ok {
			s.Network.Subnet = subnet.String()
		}
	}
}

// check adds a check.
func (s *Status) check(id string, err error) {
	c := nodeapi.Check{ID: id, OK: err == nil}
	if err != nil {
		c.Message = err.Error()
	}
	s.Checks = append(s.Checks, c)
}

// details asks the rest, side by side: the running node, its certificates, the
// states it has set aside, and whether the image's tag has moved.
func (m *Manager) details(ctx context.Context, o Observed, s *Status) error {
	running := o.Container != nil && o.Container.State == docker.StateRunning
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	answer, cancel := context.WithTimeout(ctx, o.answerTime())
	defer cancel()
	if running {
		g.Go(func() error {
			node, err := m.Node.Status(answer, o.Container.ID)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				s.check("node-report", err)
				return ctx.Err()
			}
			s.Node, s.Edge = &node, node.Edge
			if e := node.Edge; e != nil {
				s.Checks = append(s.Checks, edgeCheck(*e))
			}
			for _, c := range node.Checks {
				if c.ID == "endpoint" { // the host's view of it counts
					c.ID = "node-endpoint"
				}
				s.Checks = append(s.Checks, c)
			}
			if skew := time.Until(node.Now).Abs(); skew > maxSkew {
				s.check(string(fault.ClockSkew), errors.New(skewWarning(skew)))
			}
			return nil
		})
		g.Go(func() error {
			certs := m.certificates(ctx, o)
			mu.Lock()
			defer mu.Unlock()
			s.Certificates = certs
			return nil
		})
	}
	if o.Volume != nil && running {
		g.Go(func() error {
			asides, err := m.restorable(answer, o)
			mu.Lock()
			defer mu.Unlock()
			return s.asides(asides, err)
		})
	}
	if o.Container != nil && o.Content == ContentSettings {
		g.Go(func() error {
			tagged, err := present(m.Engine.Image(ctx, o.Settings.Image.Ref))
			mu.Lock()
			defer mu.Unlock()
			s.Container.ImageDrift = tagged != nil && tagged.ID != o.Container.ImageID
			return err
		})
	}
	return g.Wait()
}

// certificates describes the server's certificate; nil when none was shown.
func (m *Manager) certificates(ctx context.Context, o Observed) *CertStatus {
	bundle, err := m.Host.Bundle(o.Name)
	if err != nil {
		bundle.CA = nil // nothing matches
	}
	shown, err := m.Prober.Certificate(ctx, endpointOf(o.Container.Ports), bundle)
	if err != nil {
		return nil // the check "endpoint" says why
	}
	return &shown
}

// edgeCheck fails when the edge needs somebody, not while it comes up.
func edgeCheck(e nodeapi.Edge) nodeapi.Check {
	return nodeapi.Check{ID: "edge", OK: e.State == nodeapi.EdgeReady || e.State == nodeapi.EdgeStarting, Message: e.Message}
}

// remediation are the commands that help, best first.
func remediation(o Observed, word Word) []string {
	start := fmt.Sprintf("openshell gateway start %s", o.Name)
	if o.Content == ContentNewer {
		return nil // what helps is no command of this openshell
	}
	switch word {
	case Running, Foreign, Removing:
		return nil
	case Broken:
		return append(restores(o), start+" --recreate")
	case Unborn:
		if o.Content == ContentEmpty && len(o.Asides) > 0 {
			return restores(o)
		}
	case DegradedWord, CrashLooping:
		return []string{start, fmt.Sprintf("openshell gateway logs %s", o.Name)}
	}
	return []string{start}
}

// restores are the commands that bring back what was set aside, latest first.
func restores(o Observed) []string {
	var out []string
	for _, aside := range slices.Backward(o.Asides) {
		out = append(out, fmt.Sprintf("openshell gateway restore %s --name %s", aside, o.Name))
	}
	return out
}
