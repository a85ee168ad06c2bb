package cli

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"time"

	"github.com/spf13/cobra"

	"openshell.ai/openshell/internal/cli/render"
	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/fault"
)

// bundleTail is how many last lines of the node's log go into a bundle.
const bundleTail = 5000

type bundleOptions struct {
	verb
	file string
}

func newDoctorBundle(deps *Deps) *cobra.Command {
	opts := &bundleOptions{verb: verb{deps: deps}}
	cmd := opts.command(&cobra.Command{
		Use:   "bundle [NAME] [flags]",
		Short: "Write what a bug report needs to one file, without secrets",
		Long: `Write versions, status, checks, logs of the node and the edge, and facts about
Docker and the gateway's container to one tar.gz file. Environments are left out;
keys, certificates, tokens and long hexadecimal strings are replaced; look at it
all the same before giving it away. What cannot be read is named in errors.txt.`,
		Example: `  openshell doctor bundle
  openshell doctor bundle work --file report.tar.gz`,
	}, opts.run)
	cmd.Flags().StringVar(&opts.file, "file", "", "write to this `file`, which must not exist (default openshell-NAME-TIME.tar.gz)")
	return cmd
}

func (o *bundleOptions) run(ctx context.Context) error {
	now := o.deps.Now().UTC()
	path := o.file
	if path == "" {
		path = fmt.Sprintf("openshell-%s-%s.tar.gz", o.on, now.Format("20060102T150405Z"))
	}
	parts := o.collect(ctx)
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fault.New(fault.BadValue, fault.ExitUsage, "the bundle cannot be written to %s", path).
			Hint("name another place: `openshell doctor bundle --file PATH`").Because(err)
	}
	if err := errors.Join(writeBundle(file, parts, now), file.Close()); err != nil {
		os.Remove(path)
		return fmt.Errorf("bundle %s: %w", path, err)
	}
	if o.output.json() {
		return render.JSON(o.deps.Out, struct {
			File string `json:"file"`
		}{path})
	}
	_, err = fmt.Fprintln(o.deps.Out, path)
	return err
}

// edgeLogs are those of app-gateway, nginx and OpenVPN.
var edgeLogs = []string{"gateway.log", "nginx.log", "openvpn.log"}

// withShortIDs keeps what has the form of a secret from being taken for one.
func withShortIDs(c docker.Container) docker.Container {
	c.ID = short(c.ID)
	c.NetworkOf = short(c.NetworkOf)
	c.NetworkIDs = maps.Clone(c.NetworkIDs)
	for network, id := range c.NetworkIDs {
		c.NetworkIDs[network] = short(id)
	}
	return c
}

// part is one file of a bundle.
type part struct {
	name    string
	content []byte
}

// collect gathers what can be had; a part that cannot is named in errors.txt.
func (o *bundleOptions) collect(ctx context.Context) []part {
	var parts []part
	var missing bytes.Buffer
	add := func(name string, content []byte, err error) {
		if err != nil {
			fmt.Fprintf(&missing, "%s: %v\n", name, err)
		}
		if len(content) > 0 {
			parts = append(parts, part{name, content})
		}
	}
	addJSON := func(name string, document any, err error) {
		if err != nil {
			add(name, nil, err)
			return
		}
		content, err := json.MarshalIndent(document, "", "  ")
		add(name, content, err)
	}
	addJSON("version.json", buildFacts(o.deps), nil)
	host, err := o.deps.Host()
	if err != nil {
		add("host files", nil, err)
	} else {
		meta, err := host.Metadata(o.on)
		addJSON("metadata.json", meta, err)
		log, err := host.LastFailure(o.on)
		if errors.Is(err, fs.ErrNotExist) {
			err = nil // it never failed
		}
		add("last-failure.log", log, err)
	}
	err = o.deps.withEngine(ctx, func(engine Engine) error {
		container, err := engine.Container(ctx, o.on)
		addJSON("container.json", withShortIDs(container), err)
		for _, file := range edgeLogs {
			log, err := engine.EdgeLog(ctx, o.on, file)
			add("edge-"+file, log, err)
		}
		vpn, err := engine.VPN(ctx, o.on)
		addJSON("vpn.json", vpn, err)
		info, err := engine.Info(ctx)
		addJSON("docker.json", info, err)
		list, err := engine.List(ctx)
		addJSON("gateways.json", list, err)
		status, err := engine.Status(ctx, o.on)
		if status.Container != nil {
			status.Container.ID = short(status.Container.ID)
		}
		addJSON("status.json", status, err)
		checks, err := engine.Check(ctx, o.on)
		addJSON("checks.json", checks, err)
		var log bytes.Buffer
		err = engine.Logs(ctx, o.on, bundleTail, false, &log)
		add("node.log", log.Bytes(), err)
		return nil
	})
	if err != nil {
		add("docker", nil, err)
	}
	return append(parts, part{"errors.txt", missing.Bytes()})
}

func writeBundle(w io.Writer, parts []part, now time.Time) error {
	packed := gzip.NewWriter(w)
	archive := tar.NewWriter(packed)
	for _, p := range parts {
		content := scrub(p.content)
		header := &tar.Header{Name: "openshell-doctor/" + p.name, Mode: 0o600, Size: int64(len(content)), ModTime: now}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		if _, err := archive.Write(content); err != nil {
			return err
		}
	}
	return errors.Join(archive.Close(), packed.Close())
}
