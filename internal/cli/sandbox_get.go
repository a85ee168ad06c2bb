package cli

import (
	"cmp"
	"context"
	"fmt"
	"sort"
	"time"

	"github.com/spf13/cobra"

	"openshell.ai/openshell/internal/cli/render"
	datamodelv1 "openshell.ai/openshell/pkg/api/openshell/datamodel/v1"
	"openshell.ai/openshell/pkg/gatewayclient"
)

func newSandboxGet(deps *Deps) *cobra.Command {
	v := &sandboxVerb{deps: deps}
	return v.command(v.reports(&cobra.Command{
		Use:   "get NAME [flags]",
		Short: "Say how a sandbox is, and what it was made with",
		Example: `  openshell sandbox get box
  openshell sandbox get box -o json | jq -r .status`,
	}), v.oneSandbox(func(ctx context.Context, client *gatewayclient.Client, s *datamodelv1.Sandbox) error {
		routes, err := exposed(ctx, client, s.GetName())
		if err != nil {
			return err
		}
		web, err := v.webServer()
		if err != nil {
			return err
		}
		d := v.document(s)
		for _, r := range routes {
			d.Exposed = append(d.Exposed, web.document(r))
		}
		if v.output.json() {
			return render.JSON(v.deps.Out, d)
		}
		return v.writeSandbox(s, d)
	}))
}

func (v *sandboxVerb) writeSandbox(s *datamodelv1.Sandbox, d sandboxDocument) error {
	var rows [][]string
	add := func(label, format string, args ...any) {
		rows = append(rows, []string{label, render.Printable(fmt.Sprintf(format, args...))})
	}
	add("sandbox", "%s", d.Name)
	status := d.Status
	if d.Message != "" {
		status += ": " + d.Message
	}
	add("status", "%s", status)
	add("gateway", "%s", d.Gateway)
	add("id", "%s", d.ID)
	add("image", "%s", d.Image)
	add("created", "%s (%s ago)", d.CreatedAt.Format(time.RFC3339), age(v.deps.Now().Sub(d.CreatedAt)))
	if c := d.Command; c != nil {
		add("command", "%s", commandText(c.Argv))
		fares := commandWord(s)
		if c.Runs > 1 {
			fares += fmt.Sprintf(", run %d times", c.Runs)
		}
		if c.Message != "" {
			fares += ": " + c.Message
		}
		add("", "%s", fares)
		add("restart", "%s", c.Restart)
	}
	for _, limit := range limits(d.Resources) {
		add("limit", "%s", limit)
	}
	for _, e := range d.Exposed {
		add("exposed", "port %d, %s", e.Port, cmp.Or(e.URL, e.Host+" (the web port is not published)"))
	}
	if d.Ephemeral {
		add("kept", "until its command has ended")
	}
	if d.Fingerprint != "" {
		add("host key", "%s", d.Fingerprint)
	}
	return render.Table(v.deps.Out, nil, rows)
}

// limits are "cpu 2" and the like.
func limits(resources map[string]any) []string {
	all, _ := resources["limits"].(map[string]any)
	var out []string
	for name, amount := range all {
		out = append(out, fmt.Sprintf("%s %v", name, amount))
	}
	sort.Strings(out)
	return out
}
