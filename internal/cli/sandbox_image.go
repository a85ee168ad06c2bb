package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"openshell.ai/openshell/internal/cli/render"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gatewayclient"
	"openshell.ai/openshell/pkg/sandboxapi"
)

func newSandboxImage(deps *Deps) *cobra.Command {
	cmd := group(&cobra.Command{
		Use:   "image",
		Short: "Look after the images that a gateway holds for sandboxes",
		Long: `Look after the images that a gateway holds for sandboxes: those that
"openshell sandbox create --from" has brought in.`,
		Example: `  openshell sandbox image ls
  openshell sandbox image prune`,
	})
	addTo(cmd, "", newSandboxImageList(deps), newSandboxImagePrune(deps))
	return cmd
}

// imageDocument is an image that a gateway holds, in -o json.
type imageDocument struct {
	ID        string   `json:"id"`              // of the engine it came from: sha256:...
	Names     []string `json:"names,omitempty"` // by which sandboxes asked for it
	Size      int64    `json:"size"`            // bytes
	Sandboxes []string `json:"sandboxes"`       // that need it
}

func newSandboxImageList(deps *Deps) *cobra.Command {
	v := &sandboxVerb{deps: deps}
	return v.command(v.reports(&cobra.Command{
		Use:     "ls [flags]",
		Aliases: []string{"list"},
		Short:   "List the images that a gateway holds, and who needs them",
		Example: `  openshell sandbox image ls
  openshell sandbox image ls -o json`,
		Args:              noArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
	}), func(cmd *cobra.Command, _ []string) error {
		images, err := v.images(cmd.Context())
		if err != nil {
			return err
		}
		if v.output.json() {
			return render.JSON(deps.Out, images)
		}
		if len(images) == 0 {
			_, err := fmt.Fprintf(deps.Err, "gateway %s holds no images but its own\n", v.on)
			return err
		}
		rows := make([][]string, len(images))
		for i, image := range images {
			rows[i] = []string{short(strings.TrimPrefix(image.ID, "sha256:")), orDash(image.Names), units.HumanSize(float64(image.Size)), orDash(image.Sandboxes)}
		}
		return render.Table(deps.Out, []string{"IMAGE", "NAME", "SIZE", "SANDBOXES"}, rows)
	})
}

func orDash(words []string) string {
	if len(words) == 0 {
		return "-"
	}
	return strings.Join(words, ", ")
}

// images are those of the gateway, with the sandboxes that need them.
func (v *sandboxVerb) images(ctx context.Context) ([]imageDocument, error) {
	images := []imageDocument{} // [] rather than null
	err := v.deps.withGateway(ctx, v.on, func(client *gatewayclient.Client) error {
		return v.deps.withEngine(ctx, func(engine Engine) error {
			stored, err := engine.Images(ctx, v.on)
			if err != nil {
				return err
			}
			sandboxes, err := allSandboxes(ctx, client)
			if err != nil {
				return err
			}
			for _, image := range stored {
				id, ours := strings.CutPrefix(image.Ref, sandboxapi.LocalImage)
				if !ours {
					continue
				}
				d := imageDocument{ID: "sha256:" + id, Size: image.Size, Sandboxes: []string{}}
				for _, s := range sandboxes {
					if s.GetSpec().GetTemplate().GetImage() != image.Ref {
						continue
					}
					d.Sandboxes = append(d.Sandboxes, s.GetName())
					if name := imageName(s); !slices.Contains(d.Names, name) {
						d.Names = append(d.Names, name)
					}
				}
				images = append(images, d)
			}
			return nil
		})
	})
	return images, err
}

type pruneOptions struct {
	sandboxVerb
	yes bool
}

func newSandboxImagePrune(deps *Deps) *cobra.Command {
	o := &pruneOptions{sandboxVerb: sandboxVerb{deps: deps}}
	cmd := o.command(o.reports(&cobra.Command{
		Use:   "prune [flags]",
		Short: "Remove the images that no sandbox needs",
		Long: `Remove the images that no sandbox of the gateway needs, be it running or stopped.
Images of this machine's Docker are left alone. On a terminal it asks first;
elsewhere it needs --yes.`,
		Example: `  openshell sandbox image prune
  openshell sandbox image prune --yes`,
		Args:              noArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
	}), func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) })
	cmd.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	return cmd
}

func (o *pruneOptions) run(ctx context.Context) error {
	host, err := o.deps.Host()
	if err != nil {
		return err
	}
	progress := o.deps.steps(o.output)
	defer progress.Close()
	unlock, err := host.LockImages(ctx, o.on, func(holder string) { progress.note("waiting for " + holder) })
	if err != nil {
		return err
	}
	defer unlock()
	images, err := o.images(ctx)
	if err != nil {
		return err
	}
	doomed := slices.DeleteFunc(images, func(image imageDocument) bool { return len(image.Sandboxes) > 0 })
	progress.Close()
	var size int64
	refs := make([]string, len(doomed))
	for i, image := range doomed {
		refs[i] = sandboxapi.LocalImage + strings.TrimPrefix(image.ID, "sha256:")
		size += image.Size
	}
	if len(doomed) > 0 {
		if err := o.confirm(ctx, len(doomed), size); err != nil {
			return err
		}
		if err := o.deps.withEngine(ctx, func(engine Engine) error { return engine.RemoveImages(ctx, o.on, refs) }); err != nil {
			return err
		}
	}
	if o.output.json() {
		return render.JSON(o.deps.Out, struct {
			Removed []imageDocument `json:"removed"`
			Size    int64           `json:"size"`
		}{doomed, size})
	}
	if len(doomed) == 0 {
		_, err = fmt.Fprintf(o.deps.Out, "gateway %s holds no image that is not needed\n", o.on)
		return err
	}
	_, err = fmt.Fprintf(o.deps.Out, "removed %s, %s\n", countImages(len(doomed)), units.HumanSize(float64(size)))
	return err
}

func countImages(n int) string {
	if n == 1 {
		return "1 image"
	}
	return fmt.Sprintf("%d images", n)
}

func (o *pruneOptions) confirm(ctx context.Context, n int, size int64) error {
	if o.yes {
		return nil
	}
	what := fmt.Sprintf("%s (%s)", countImages(n), units.HumanSize(float64(size)))
	if !o.deps.InTTY || !o.deps.ErrTTY {
		return fault.New(fault.NeedsYes, fault.ExitUsage, "removing %s needs a confirmation, and this is no terminal to ask on", what).
			Hint("to remove them: `openshell sandbox image prune --yes`")
	}
	agreed, err := ask(ctx, o.deps.Streams, fmt.Sprintf("Remove %s that no sandbox of gateway %s needs? [y/N] ", what, o.on))
	if err == nil && !agreed {
		err = fault.New(fault.NeedsYes, fault.ExitUsage, "nothing was removed: the answer was not yes")
	}
	return err
}
