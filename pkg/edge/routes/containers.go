package routes

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"openshell.ai/openshell/pkg/edge"
	"openshell.ai/openshell/pkg/edge/edgeapi"
)

// maxServices bounds what one container can map.
const maxServices = 64

// pulse is a container that reported.
type pulse struct {
	alive  bool // within the watchdog's time
	seen   time.Time
	mapped map[string]uint16 // services that it reported beside those it was made with
}

// ErrRemoved says that a container is not registered any more.
var ErrRemoved = errors.New("the container was removed")

// Beat takes a sign of life.
func (t *Table) Beat(c Container) ([]edgeapi.Route, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.removed(c.ID) {
		return nil, ErrRemoved
	}
	if known := t.know(c); t.beat(c.ID) || !known {
		t.update()
		t.remember()
	}
	return t.routesOf(c.ID), nil
}

// Map takes a service that a live container offers.
func (t *Table) Map(c Container, host string, port uint16) ([]edgeapi.Route, error) {
	if err := edge.CheckHost(host); err != nil {
		return nil, err
	}
	if port == 0 {
		return nil, errors.New("port is 0, want 1 to 65535")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.removed(c.ID) {
		return nil, ErrRemoved
	}
	known := t.know(c)
	revived := t.beat(c.ID)
	mapped := t.pulses[c.ID].mapped
	old, had := mapped[host]
	if !had && len(mapped) >= maxServices {
		return nil, fmt.Errorf("the container has %d services mapped, and no more are allowed", maxServices)
	}
	mapped[host] = port
	if !known || revived || !had || old != port {
		t.update()
		t.remember()
	}
	return t.routesOf(c.ID), nil
}

// removed needs the lock. Before the registry was read, nothing counts as removed.
func (t *Table) removed(id string) bool {
	_, there := t.containers[id]
	return t.containersKnown && !there
}

// know needs the lock. It answers whether the container was known like this.
func (t *Table) know(c Container) bool {
	old, ok := t.containers[c.ID]
	if ok && old.Name == c.Name && old.Address == c.Address && slices.Equal(old.Services, c.Services) {
		return true
	}
	if !ok {
		t.order = append(t.order, c.ID)
	}
	t.containers[c.ID] = c
	return false
}

// beat needs the lock. It answers whether the container counted as gone.
func (t *Table) beat(id string) bool {
	p := t.pulses[id]
	if p == nil {
		p = &pulse{mapped: map[string]uint16{}}
		t.pulses[id] = p
	}
	wasAlive := p.alive
	p.alive, p.seen = true, time.Now()
	if t.expiry == nil {
		t.expiry = time.AfterFunc(t.config.Watchdog, t.expire)
	}
	return !wasAlive
}

// expire ends what has not reported for too long.
func (t *Table) expire() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expiry = nil
	next, ended := time.Duration(-1), false
	for _, p := range t.pulses {
		if !p.alive {
			continue
		}
		left := t.config.Watchdog - time.Since(p.seen)
		if left <= 0 {
			p.alive, ended = false, true
		} else if next < 0 || left < next {
			next = left
		}
	}
	if next >= 0 && !t.stopped {
		t.expiry = time.AfterFunc(next, t.expire)
	}
	if ended && !t.stopped {
		t.update()
		t.remember()
	}
}

// Stop ends the watchdog's timer: routes stay as they are.
func (t *Table) Stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stopped = true
	if t.expiry != nil {
		t.expiry.Stop()
	}
}

// routesOf needs the lock.
func (t *Table) routesOf(id string) []edgeapi.Route {
	own := []edgeapi.Route{}
	for _, r := range t.routes {
		if r.Kind == edgeapi.KindContainer && r.OwnerID == id {
			own = append(own, r)
		}
	}
	return own
}

// servicesOf merges what a container was made with and what it reported, which
// is newer.
func servicesOf(c Container, p *pulse) []edgeapi.VPNService {
	ports := map[string]uint16{}
	for _, s := range c.Services {
		ports[s.Host] = s.Port
	}
	if p != nil {
		maps.Copy(ports, p.mapped)
	}
	var all []edgeapi.VPNService
	for host, port := range ports {
		all = append(all, edgeapi.VPNService{Host: host, Port: port})
	}
	slices.SortFunc(all, func(a, b edgeapi.VPNService) int { return cmp.Compare(a.Host, b.Host) })
	return all
}
