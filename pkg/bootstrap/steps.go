package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/hostconfig"
	"openshell.ai/openshell/pkg/nodeapi"
)

const (
	removalTime   = time.Minute // for a removal that another process began
	settingsMode  = 0o600
	stopCallGrace = 15 * time.Second
)

func (r *run) waitRemoval(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, removalTime)
	defer cancel()
	err := r.Engine.WaitRemoved(ctx, r.container)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return false, fault.New(fault.DockerFailed, fault.ExitFailure, "container %s is still being removed after %s", r.plan.Name.Resource(), removalTime).
			Hint("restart Docker, then run the command again")
	}
	return false, err
}

// removed makes a removal idempotent.
func removed(err error) (bool, error) {
	if docker.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

func (r *run) loadImage(ctx context.Context) (bool, error) {
	f, err := os.Open(r.plan.Archive)
	if err != nil {
		return false, fault.New(fault.BadValue, fault.ExitUsage, "--image-archive %s cannot be read", r.plan.Archive).Because(err)
	}
	defer f.Close()
	refs, err := r.Engine.LoadImage(ctx, f, func(s string) { r.out.progress(LoadImage, s) })
	if err != nil {
		return false, err
	}
	for _, ref := range refs {
		img, err := r.Engine.Image(ctx, ref)
		if err != nil {
			return false, err
		}
		if checkImage(ref, img) == nil {
			r.loaded = ref
			return true, nil
		}
	}
	return true, fault.New(fault.BadValue, fault.ExitUsage, "--image-archive %s holds no node image", r.plan.Archive)
}

func (r *run) pullImage(ctx context.Context) (bool, error) {
	ref := r.settings.Image.Ref
	err := r.Engine.PullImage(ctx, ref, func(s string) { r.out.progress(PullImage, s) })
	if err != nil && !docker.IsUnreachable(err) && ctx.Err() == nil {
		return false, fault.New(fault.ImageMissing, fault.ExitFailure, "the node image %s is neither there nor can it be pulled", ref).
			Hint("load it from a file: `openshell gateway start %s --image-archive FILE`", r.plan.Name).Because(err)
	}
	return err == nil, err
}

func (r *run) stopContainer(ctx context.Context) (bool, error) {
	return r.stopGracefully(ctx, r.container, r.plan.Was == Paused)
}

// stopGracefully stops a container; a paused one cannot hear the signal.
func (m *Manager) stopGracefully(ctx context.Context, container string, paused bool) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, stopTimeout+stopCallGrace)
	defer cancel()
	if paused {
		if err := m.Engine.UnpauseContainer(ctx, container); err != nil {
			return false, err
		}
	}
	return removed(m.Engine.StopContainer(ctx, container, stopTimeout))
}

func (r *run) writeSettings(ctx context.Context) error {
	r.made.settings = r.plan.Action == ActionResume && r.plan.has(CreateContainer)
	return r.Engine.WriteFile(ctx, r.container, nodeapi.SettingsFile, settingsMode, r.settings.Encode())
}

// takeBackSettings writes what the gateway had before, into the container that
// there is, or else through a helper.
func (r *run) takeBackSettings(ctx context.Context) error {
	write := func(id string) error {
		return r.Engine.WriteFile(ctx, id, nodeapi.SettingsFile, settingsMode, r.plan.before.Encode())
	}
	if r.container != "" {
		if err := write(r.container); !docker.IsNotFound(err) {
			return err
		}
	}
	return r.withHelper(ctx, r.plan.Name, helperSpec{image: r.settings.Image.ID}, write)
}

func (r *run) removeContainer(ctx context.Context) (bool, error) {
	changed, err := removed(r.Engine.RemoveContainer(ctx, r.container))
	if err == nil {
		r.container = ""
	}
	return changed, err
}

func (r *run) createNetwork(ctx context.Context) (bool, error) {
	r.made.network = true
	subnet := r.settings.Network.Subnet
	err := r.Engine.CreateNetwork(ctx, r.plan.Name.Resource(), subnet, r.plan.Name.Labels(r.Version))
	if docker.IsSubnetTaken(err) {
		return false, &chosenTaken{subnet: subnet, err: err}
	}
	if docker.IsConflict(err) {
		// Another user's openshell was faster. What is there now is theirs.
		r.made = made{}
	}
	if err != nil {
		return false, err
	}
	return true, r.attachGuests(ctx)
}

func (r *run) createVolume(ctx context.Context) (bool, error) {
	r.made.volume = true
	err := r.Engine.CreateVolume(ctx, r.plan.Name.Resource(), r.plan.Name.Labels(r.Version))
	if docker.IsConflict(err) {
		// Another user's openshell was faster. What is there now is theirs.
		r.made = made{}
	}
	return err == nil, err
}

func (r *run) createContainer(ctx context.Context) (bool, error) {
	r.made.container = true
	// Until there is an id the name will do: nobody else has it.
	r.container = r.plan.Name.Resource()
	id, err := r.Engine.CreateContainer(ctx, containerSpec(r.settings, r.plan.Name.Labels(r.Version)))
	if docker.IsConflict(err) {
		// Another user's openshell was faster. What is there now is theirs.
		r.made, r.container = made{}, ""
	}
	if err != nil {
		return false, err
	}
	r.container = id
	return true, nil
}

func (r *run) startContainer(ctx context.Context) (bool, error) {
	r.made.started = true
	err := r.Engine.StartContainer(ctx, r.container)
	if err == nil {
		r.made.settings = false
	}
	if !docker.IsPortInUse(err) {
		return err == nil, err
	}
	taken, _ := docker.PortOf(err)
	for _, p := range publishedPorts(r.settings) {
		by, held := r.System.PortHolder(p.Bind, p.Host, p.Proto)
		if !held && p.Host != taken {
			continue
		}
		if p.Container == httpContainerPort && r.plan.chosePort {
			return false, &chosenTaken{port: p.Host, err: err}
		}
		if by == "" {
			by = "another process"
		}
		if name, lookErr := r.publisherOf(ctx, p); lookErr == nil && name != "" {
			by = "container " + name
		}
		return false, portError(r.plan.Name, p, by)
	}
	return false, err
}

// writeHostFiles ends with an answer of the server that read the new Secrets,
// if it had to be restarted for them.
func (r *run) writeHostFiles(ctx context.Context) (bool, error) {
	r.made.hostFiles = true
	changed, err := r.Host.WriteBundle(r.plan.Name, r.bundle)
	if err != nil || !r.rolled {
		return changed, err
	}
	return changed, r.whileRolling(ctx, func(ctx context.Context) error {
		r.pollEndpoint(ctx, newWait())
		return ctx.Err()
	})
}

// removeHostFiles also forgets the selection.
func (r *run) removeHostFiles() (bool, error) {
	names, err := r.Host.Names()
	had := err != nil || slices.Contains(names, r.plan.Name) // unreadable files are to go as well
	if err := r.Host.Remove(r.plan.Name); err != nil {
		return false, err
	}
	return had, r.Host.ClearActive(r.plan.Name)
}

func (r *run) markInitialized(ctx context.Context) (bool, error) {
	now := time.Now().UTC().Truncate(time.Second)
	r.settings.Initialized = &now
	// From here on it is the user's gateway, whether the mark's answer arrives
	// or not: nothing is taken back.
	r.made = made{}
	return true, r.writeSettings(ctx)
}

func (r *run) writeMetadata() (bool, error) {
	s := r.settings
	changed, err := r.Host.WriteMetadata(s.Name, hostconfig.Metadata{
		Name: s.Name, Endpoint: r.endpoint(), Port: s.Port, Bind: s.Bind, HTTPPort: s.HTTPPort, HTTPTLS: s.HTTPTLS, VPNPort: s.VPNPort,
		Version: s.Image.Version, UpdatedAt: time.Now().UTC().Truncate(time.Second),
	})
	if err != nil {
		return false, fmt.Errorf("metadata: %w", err)
	}
	return changed, nil
}
