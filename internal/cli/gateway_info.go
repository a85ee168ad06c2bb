package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/spf13/cobra"

	"openshell.ai/openshell/internal/cli/render"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gateway"
)

// infoResult is what a client needs to reach a gateway.
type infoResult struct {
	Name      gateway.Name `json:"name"`
	Endpoint  string       `json:"endpoint"`
	HTTPPort  int          `json:"httpPort,omitempty"`
	HTTPTLS   bool         `json:"httpTLS,omitempty"` // the web server speaks HTTPS
	VPNPort   int          `json:"vpnPort,omitempty"`
	Version   string       `json:"version"` // of the node image
	Directory string       `json:"directory"`
	CA        string       `json:"ca"`   // paths of PEM files
	Cert      string       `json:"cert"` //
	Key       string       `json:"key"`  //
}

func newGatewayInfo(deps *Deps) *cobra.Command {
	v := &verb{deps: deps}
	return v.command(&cobra.Command{
		Use:   "info [NAME] [flags]",
		Short: "Print where a gateway answers and where its client files are",
		Long: `Print the endpoint of a gateway and the files a client authenticates with. It
reads files of this host only; "openshell gateway status" asks the gateway.`,
		Example: `  openshell gateway info
  openshell gateway info -o json | jq -r .endpoint`,
	}, v.runInfo)
}

func (v *verb) runInfo(context.Context) error {
	host, err := v.deps.Host()
	if err != nil {
		return err
	}
	meta, err := host.Metadata(v.on)
	if err != nil {
		return noFiles(v.on, err)
	}
	dir := host.GatewayDir(v.on)
	info := infoResult{
		Name: v.on, Endpoint: meta.Endpoint, HTTPPort: meta.HTTPPort, HTTPTLS: meta.HTTPTLS, VPNPort: meta.VPNPort,
		Version: meta.Version, Directory: dir,
		CA: filepath.Join(dir, "mtls", "ca.crt"), Cert: filepath.Join(dir, "mtls", "tls.crt"), Key: filepath.Join(dir, "mtls", "tls.key"),
	}
	if v.output.json() {
		return render.JSON(v.deps.Out, info)
	}
	rows := [][]string{{"name", string(info.Name)}, {"endpoint", info.Endpoint}}
	if info.HTTPPort != 0 {
		rows = append(rows, []string{gateway.WebScheme(info.HTTPTLS) + " port", fmt.Sprint(info.HTTPPort)})
	}
	if info.VPNPort != 0 {
		rows = append(rows, []string{"vpn port", fmt.Sprint(info.VPNPort)})
	}
	rows = append(rows, [][]string{
		{"version", info.Version}, {"directory", info.Directory}, {"ca", info.CA}, {"certificate", info.Cert}, {"key", info.Key},
	}...)
	return render.Table(v.deps.Out, nil, rows)
}

// noFiles is an error of reading a gateway's files, which says so when there
// are none.
func noFiles(name gateway.Name, err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return fault.New(fault.NotFound, fault.ExitFailure, "there are no files of gateway %s on this host", name).
		Hint("`openshell gateway start %s` makes the gateway, or brings it back with its files", name)
}
