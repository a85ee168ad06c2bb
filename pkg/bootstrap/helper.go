package bootstrap

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gateway"
	"openshell.ai/openshell/pkg/nodeapi"
)

// A helper is a short-lived container over a gateway's volume: never started to
// reach files, or run with one command. Its name cannot be a gateway's, and is
// always the same, so that the next run finds what an interrupted one left.
func helperName(name gateway.Name) string { return "openshell-helper-" + string(name) }

const (
	maxOutput   = 1 << 20
	cleanupTime = time.Minute
	helperTime  = time.Minute                // more than from making a helper to starting it
	lockLabel   = "openshell.ai/lock-domain" // of a helper: whose lock it was made under
)

type helperSpec struct {
	image string   // id
	argv  []string // nil: it is not going to be started
}

// withHelper creates a helper, calls use with its id, and removes it whatever
// happens.
func (m *Manager) withHelper(ctx context.Context, name gateway.Name, spec helperSpec, use func(id string) error) (err error) {
	labels := name.Labels(m.Version)
	labels[lockLabel] = m.Host.LockDomain()
	create := func() (string, error) {
		return m.Engine.CreateContainer(ctx, docker.ContainerSpec{
			Name:       helperName(name),
			Image:      spec.image,
			Labels:     labels,
			Entrypoint: spec.argv,
			Network:    "none",
			Volumes:    map[string]string{stateMount: name.Resource()},
			LogOptions: map[string]string{"max-size": "10m"},
		})
	}
	id, err := create()
	if docker.IsConflict(err) {
		if err := m.removeHelper(ctx, name); err != nil {
			return err
		}
		id, err = create()
	}
	if docker.IsConflict(err) {
		return err
	}
	// A call that got no answer may have had its effect.
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
		defer cancel()
		if rmErr := m.removeHelper(ctx, name); rmErr != nil && !docker.IsUnreachable(err) {
			err = errors.Join(err, rmErr)
		}
	}()
	if err != nil {
		return err
	}
	return use(id)
}

// removeHelper removes the helper if it is there and ours.
func (m *Manager) removeHelper(ctx context.Context, name gateway.Name) error {
	c, err := present(m.Engine.Container(ctx, helperName(name)))
	if err != nil || c == nil {
		return err
	}
	if !name.Owns(c.Labels) {
		return fault.New(fault.Foreign, fault.ExitConflict, "container %s was not made by openshell for gateway %s: it is left alone", c.Name, name)
	}
	if !m.leftover(*c) {
		return fault.New(fault.Locked, fault.ExitConflict, "another user's openshell works on the volume of gateway %s", name).
			Hint("wait for it to end, then run the command again")
	}
	_, err = present(struct{}{}, m.Engine.RemoveContainer(ctx, c.ID))
	return err
}

// leftover reports that nobody works with a helper any more: it was made under
// the same lock, which we hold, or it neither runs nor is new.
func (m *Manager) leftover(c docker.Container) bool {
	return c.Labels[lockLabel] == m.Host.LockDomain() || !up(&c) && time.Since(c.CreatedAt) > helperTime
}

// runHelper runs a command over the volume and returns its output.
func (m *Manager) runHelper(ctx context.Context, name gateway.Name, image string, argv ...string) ([]byte, error) {
	var out bytes.Buffer
	err := m.withHelper(ctx, name, helperSpec{image, argv}, func(id string) error {
		if err := m.Engine.StartContainer(ctx, id); err != nil {
			return err
		}
		code, err := m.Engine.WaitContainer(ctx, id)
		if err != nil {
			return err
		}
		r, err := m.Engine.Logs(ctx, id, docker.LogOptions{})
		if err != nil {
			return err
		}
		defer r.Close()
		if _, err := copyLimited(&out, r); err != nil {
			return err
		}
		if code != 0 {
			return fmt.Errorf("%s over volume %s: exit code %d: %s", path.Base(argv[0]), name.Resource(), code, docker.LastLine(out.String()))
		}
		return nil
	})
	return out.Bytes(), err
}

func copyLimited(w io.Writer, r io.Reader) (int64, error) {
	return io.Copy(w, io.LimitReader(r, maxOutput))
}

// volumeEntries is what a volume holds beside gateway.json.
type volumeEntries struct {
	state  bool     // there is something under current/
	asides []string // names of states set aside, oldest first
}

// listVolume looks at the names on the volume, two levels deep.
func (m *Manager) listVolume(ctx context.Context, name gateway.Name, image string) (volumeEntries, error) {
	out, err := m.runHelper(ctx, name, image, "find", stateMount, "-mindepth", "1", "-maxdepth", "2", "-printf", `%P\n`)
	if err != nil {
		return volumeEntries{}, err
	}
	return parseEntries(string(out)), nil
}

func parseEntries(paths string) volumeEntries {
	var e volumeEntries
	current := path.Base(nodeapi.Current) + "/"
	for p := range strings.Lines(paths) {
		p = strings.TrimRight(p, "\r\n")
		switch {
		case strings.HasPrefix(p, current):
			e.state = e.state || p != current+path.Base(nodeapi.SettingsFile)
		case strings.HasPrefix(p, nodeapi.AsidePrefix) && !strings.Contains(p, "/"):
			e.asides = append(e.asides, p)
		}
	}
	slices.Sort(e.asides)
	return e
}

// clearVolume deletes the state of a gateway that has never been healthy.
func (m *Manager) clearVolume(ctx context.Context, name gateway.Name, image string) error {
	_, err := m.runHelper(ctx, name, image, "rm", "-rf", nodeapi.Current)
	return err
}

// restorable lists what can be brought back, through a running container or a
// helper.
func (m *Manager) restorable(ctx context.Context, o Observed) ([]nodeapi.Aside, error) {
	argv := []string{nodeapi.Binary, nodeapi.CmdVolume, "asides"}
	var out []byte
	if o.Container != nil && o.Container.State == docker.StateRunning {
		var stdout, stderr bytes.Buffer
		code, err := m.Engine.Exec(ctx, o.Container.ID, docker.ExecSpec{Argv: argv, Stdout: &stdout, Stderr: &stderr})
		if err != nil {
			return nil, err
		}
		if code != 0 {
			return nil, fmt.Errorf("what can be brought back: exit code %d: %s", code, docker.LastLine(stderr.String()))
		}
		out = stdout.Bytes()
	} else {
		image, err := m.helperImage(ctx, o)
		if err != nil {
			return nil, err
		}
		if out, err = m.runHelper(ctx, o.Name, image, argv...); err != nil {
			return nil, err
		}
	}
	var asides []nodeapi.Aside
	if err := json.Unmarshal(out, &asides); err != nil {
		return nil, fmt.Errorf("what can be brought back: %w", err)
	}
	return asides, nil
}

// helperImage is the id of an image that has openshell-node in it: the
// container's own, unless somebody has removed it under the container.
func (m *Manager) helperImage(ctx context.Context, o Observed) (string, error) {
	if o.Container != nil {
		own, err := present(m.Engine.Image(ctx, o.Container.ImageID))
		if err != nil || own != nil {
			return o.Container.ImageID, err
		}
	}
	images, err := m.Engine.Images(ctx, map[string]string{imageLabel: imageKind})
	if err != nil {
		return "", err
	}
	if len(images) == 0 {
		return "", fault.New(fault.ImageMissing, fault.ExitFailure, "there is no node image to open volume %s with", o.Name.Resource())
	}
	return images[0].ID, nil
}
