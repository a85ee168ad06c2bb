package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"openshell.ai/openshell/internal/cli/render"
	"openshell.ai/openshell/pkg/bootstrap"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/nodeapi"
)

func newGatewayStatus(deps *Deps) *cobra.Command {
	return statusCommand(deps, "  openshell gateway status\n  openshell gateway status work -o json")
}

// newStatus is `openshell status`, the same command in a shorter place.
func newStatus(deps *Deps) *cobra.Command {
	return statusCommand(deps, "  openshell status\n  openshell status -o json | jq -r .status")
}

func statusCommand(deps *Deps, example string) *cobra.Command {
	v := &verb{deps: deps}
	return v.command(&cobra.Command{
		Use:   "status [NAME] [flags]",
		Short: "Say how a gateway is, asking the gateway itself",
		Long: `Say how a gateway is. It is healthy when its endpoint answers with the client
certificate on this host; everything else is shown to explain why it does not.

Exit codes: 0 healthy, 3 not running or not healthy, 4 Docker does not answer.`,
		Example: example,
	}, v.runStatus)
}

func (v *verb) runStatus(ctx context.Context) error {
	status := bootstrap.Status{Name: v.on, Word: bootstrap.Unknown, Checks: []nodeapi.Check{}}
	err := v.deps.withEngine(ctx, func(engine Engine) (err error) {
		status, err = engine.Status(ctx, v.on)
		return err
	})
	if err != nil {
		if v.output.json() && fault.ExitOf(err) == fault.ExitUnreachable {
			unknown := bootstrap.Status{Name: v.on, Word: bootstrap.Unknown, Checks: []nodeapi.Check{}}
			if err := render.JSON(v.deps.Out, unknown); err != nil {
				return err
			}
		}
		return err
	}
	if v.output.json() {
		err = render.JSON(v.deps.Out, status)
	} else {
		err = writeStatus(v.deps.Out, status)
	}
	if err == nil && !status.Healthy {
		err = exitCode(fault.ExitNotRunning)
	}
	return err
}

func writeStatus(w io.Writer, s bootstrap.Status) error {
	word := string(s.Word)
	if s.Active {
		word += " (selected)"
	}
	rows := [][]string{{"gateway", string(s.Name)}, {"status", word}}
	add := func(label, format string, args ...any) {
		rows = append(rows, []string{label, fmt.Sprintf(format, args...)})
	}
	if s.Endpoint != "" {
		health := "does not answer"
		if s.Healthy {
			health = "healthy"
		}
		add("endpoint", "%s (%s)", s.Endpoint, health)
	}
	if c := s.Container; c != nil {
		add("container", "%s, %s, %d restarts", short(c.ID), c.State, c.Restarts)
		image := short(strings.TrimPrefix(c.Image, "sha256:"))
		if s.Settings != nil && s.Settings.Image.Ref != "" {
			image = fmt.Sprintf("%s (%s)", s.Settings.Image.Ref, image)
		}
		if c.ImageDrift {
			image += "; its tag now names another image"
		}
		add("image", "%s", image)
	}
	if s.Volume != nil {
		add("volume", "%s", s.Volume.Name)
		for _, aside := range s.Volume.Asides {
			add("set aside", "%s", aside.Name)
		}
		for _, database := range s.Volume.Databases {
			add("set aside", "%s", database.Name)
		}
		for _, snapshot := range s.Volume.Snapshots {
			add("snapshot", "%s", snapshot.Name)
		}
	}
	if s.Network != nil {
		add("network", "%s %s", s.Network.Name, s.Network.Subnet)
	}
	if c := s.Certificates; c != nil {
		copied := "the copy on this host matches"
		if !c.HostCopyMatches {
			copied = "the copy on this host differs"
		}
		add("certificate", "valid until %s, %s", c.NotAfter.UTC().Format(time.DateOnly), copied)
	}
	if s.Node != nil {
		node := fmt.Sprintf("%s, version %s, Kubernetes %s", s.Node.Phase, s.Node.Version, s.Node.Kubernetes)
		if f := s.Node.Failure; f != nil {
			node += ": " + f.Message
		}
		add("node", "%s", node)
	}
	if s.Edge != nil {
		add("edge", "%s", edgeWords(s))
	}
	for _, check := range s.Checks {
		if !check.OK {
			add("failing", "%s: %s", check.ID, check.Message)
		}
	}
	for _, command := range s.Remediation {
		add("try", "%s", command)
	}
	return render.Table(w, nil, rows)
}

// edgeWords say how the edge is, and where, of one that works.
func edgeWords(s bootstrap.Status) string {
	e := s.Edge
	switch {
	case e.State != nodeapi.EdgeReady && e.Message != "":
		return fmt.Sprintf("%s: %s", e.State, e.Message)
	case e.State == nodeapi.EdgeReady && s.Settings != nil && s.Settings.HTTPPort == 0:
		return fmt.Sprintf("%s, not published", e.State)
	case e.State == nodeapi.EdgeReady && s.Settings != nil:
		return fmt.Sprintf("%s, %s port %d", e.State, s.Settings.WebScheme(), s.Settings.HTTPPort)
	}
	return string(e.State)
}

// short is a Docker id as people write it.
func short(id string) string { return id[:min(12, len(id))] }
