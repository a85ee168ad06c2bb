package containers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"openshell.ai/openshell/pkg/durable"
	"openshell.ai/openshell/pkg/edge"
)

const (
	fileMode = 0o600
	maxFile  = 8 << 20
	lockPoll = 20 * time.Millisecond
	lockWait = 10 * time.Second
)

// Registry is the registry in a directory that is root's alone. Any number of
// processes may use it at once.
type Registry struct{ path string }

// Open names the registry in a gateway's state directory. The file is read by
// each call anew.
func Open(stateDir string) Registry {
	return Registry{filepath.Join(stateDir, filepath.Base(edge.ContainersFile))}
}

// Add registers a container. Nobody can learn its token later. A kind says who
// may take the registration away unasked.
func (r Registry) Add(ctx context.Context, name, kind string, services []Service) (c Container, token string, err error) {
	if err := errors.Join(CheckName(name), CheckKind(kind), CheckServices(services)); err != nil {
		return Container{}, "", err
	}
	token = newToken()
	err = r.change(ctx, func(d *document) error {
		if _, err := d.find(name); err == nil {
			return fmt.Errorf("%q: %w", name, ErrExists)
		}
		if len(d.Containers) >= MaxContainers {
			return ErrFull
		}
		c = Container{ID: newID(), Name: name, Kind: kind, TokenHash: hashOf(token), Address: d.assign(),
			Services: slices.Clone(services), Created: time.Now().UTC().Truncate(time.Second)}
		d.Containers = append(d.Containers, c)
		return nil
	})
	if err != nil {
		return Container{}, "", err
	}
	return c, token, nil
}

// Rotate gives a container a new token and ends the old one.
func (r Registry) Rotate(ctx context.Context, idOrName string) (c Container, token string, err error) {
	token = newToken()
	err = r.change(ctx, func(d *document) error {
		i, err := d.find(idOrName)
		if err != nil {
			return err
		}
		d.Containers[i].TokenHash = hashOf(token)
		c = d.Containers[i]
		return nil
	})
	if err != nil {
		return Container{}, "", err
	}
	return c, token, nil
}

// Remove forgets a container and answers what it was.
func (r Registry) Remove(ctx context.Context, idOrName string) (c Container, err error) {
	err = r.change(ctx, func(d *document) error {
		i, err := d.find(idOrName)
		if err != nil {
			return err
		}
		c = d.Containers[i]
		d.Containers = slices.Delete(d.Containers, i, i+1)
		return nil
	})
	return c, err
}

// List answers the containers by name.
func (r Registry) List() ([]Container, error) {
	d, err := r.read()
	if err != nil {
		return nil, err
	}
	slices.SortFunc(d.Containers, func(a, b Container) int { return strings.Compare(a.Name, b.Name) })
	return d.Containers, nil
}

// Get answers a container by its id or name, or ErrNotFound.
func (r Registry) Get(idOrName string) (Container, error) {
	d, err := r.read()
	if err != nil {
		return Container{}, err
	}
	i, err := d.find(idOrName)
	if err != nil {
		return Container{}, err
	}
	return d.Containers[i], nil
}

// Verify answers the container that an id and a token are of, or
// ErrUnauthorized. Other errors are those of reading.
func (r Registry) Verify(id, token string) (Container, error) {
	d, err := r.read()
	if err != nil {
		return Container{}, err
	}
	found := Container{TokenHash: strings.Repeat("0", 64)} // compared as well, when there is none
	for _, c := range d.Containers {
		if c.ID == id {
			found = c
		}
	}
	if !found.authorizes(token) || found.ID == "" {
		return Container{}, ErrUnauthorized
	}
	return found, nil
}

// change reads, changes and replaces the file, alone among all processes.
func (r Registry) change(ctx context.Context, how func(*document) error) error {
	lock := flock.New(strings.TrimSuffix(r.path, ".json")+".lock", flock.SetPermissions(fileMode))
	ctx, cancel := context.WithTimeoutCause(ctx, lockWait, fmt.Errorf("%s is in use", r.path))
	defer cancel()
	if _, err := lock.TryLockContext(ctx, lockPoll); err != nil {
		return errors.Join(context.Cause(ctx), err)
	}
	defer lock.Close()
	d, err := r.read()
	if err != nil {
		return err
	}
	if err := how(&d); err != nil {
		return err
	}
	data, err := d.encode()
	if err != nil {
		return err
	}
	return durable.WriteFile(r.path, data, fileMode)
}

// read answers the file. Only a file that is not there is an empty registry.
func (r Registry) read() (document, error) {
	info, err := os.Stat(r.path)
	if errors.Is(err, fs.ErrNotExist) {
		return document{Version: version, Next: first, Containers: []Container{}}, nil
	}
	if err != nil {
		return document{}, err
	}
	if info.Size() > maxFile {
		return document{}, fmt.Errorf("%w: %s has %d bytes", ErrDamaged, r.path, info.Size())
	}
	data, err := os.ReadFile(r.path)
	if err != nil {
		return document{}, err
	}
	d, err := decode(data)
	if err != nil {
		return document{}, fmt.Errorf("%w: %s: %w", ErrDamaged, r.path, err)
	}
	return d, nil
}
