package cli

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"openshell.ai/openshell/internal/cli/render"
	datamodelv1 "openshell.ai/openshell/pkg/api/openshell/datamodel/v1"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gateway"
	"openshell.ai/openshell/pkg/gatewayclient"
	"openshell.ai/openshell/pkg/sandboxapi"
)

// sshAlias begins the names by which OpenSSH knows sandboxes and their keys.
const sshAlias = "openshell-"

// configVariable says where openshell keeps its files.
const configVariable = "XDG_CONFIG_HOME"

// sshConfig is how OpenSSH reaches a sandbox.
type sshConfig struct {
	Host           string   `json:"host"`
	User           string   `json:"user"`
	ProxyCommand   []string `json:"proxyCommand"`
	HostKeyAlias   string   `json:"hostKeyAlias"`
	KnownHostsFile string   `json:"knownHostsFile"`
}

func newSandboxSSHConfig(deps *Deps) *cobra.Command {
	v := &sandboxVerb{deps: deps}
	return v.command(v.reports(&cobra.Command{
		Use:   "ssh-config NAME [flags]",
		Short: "Print how ssh, scp, rsync and editors reach a sandbox",
		Long: `Print a block for ~/.ssh/config, with which everything that speaks SSH reaches a
sandbox: as openshell-NAME, or openshell-GATEWAY_NAME on a gateway other than
"openshell". It stays valid through every restart, until the sandbox is deleted.`,
		Example: `  openshell sandbox ssh-config box >> ~/.ssh/config
  ssh openshell-box
  rsync -a src/ openshell-box:src/`,
	}), v.oneSandbox(func(_ context.Context, _ *gatewayclient.Client, s *datamodelv1.Sandbox) error {
		config, err := v.sshConfig(s)
		if err != nil {
			return err
		}
		if v.output.json() {
			return render.JSON(deps.Out, config)
		}
		if deps.OutTTY {
			fmt.Fprintln(deps.Err, "# append this to ~/.ssh/config, then: ssh "+config.Host)
		}
		_, err = fmt.Fprint(deps.Out, config.block())
		return err
	}))
}

func (v *sandboxVerb) sshConfig(s *datamodelv1.Sandbox) (sshConfig, error) {
	key := s.GetStatus().GetSshHostKey()
	if key == "" {
		return sshConfig{}, fault.New(fault.SandboxNotReady, fault.ExitNotRunning, "sandbox %s has no SSH host key yet", s.GetName()).
			Hint("`openshell sandbox get %s` says how it is", s.GetName())
	}
	host, err := v.deps.Host()
	if err != nil {
		return sshConfig{}, err
	}
	self, err := os.Executable()
	if err != nil {
		return sshConfig{}, err
	}
	config := sshConfig{Host: sshHost(v.on, s.GetName()), User: sandboxapi.User, HostKeyAlias: sshAlias + s.GetId()}
	// An editor starts ssh with an environment of its own.
	if dir := v.deps.Env(configVariable); dir != "" && runtime.GOOS != "windows" {
		config.ProxyCommand = []string{"env", configVariable + "=" + dir}
	}
	config.ProxyCommand = append(config.ProxyCommand, self, "ssh-proxy", "--gateway", string(v.on), s.GetName())
	config.KnownHostsFile, err = host.WriteKnownHost(v.on, s.GetId(), config.HostKeyAlias, key)
	return config, err
}

// sshHost is openshell-NAME, with the gateway unless it is the default. No
// sandbox's name has an underscore, so two hosts never share an alias.
func sshHost(on gateway.Name, sandbox string) string {
	if on == gateway.DefaultName {
		return sshAlias + sandbox
	}
	return sshAlias + string(on) + "_" + sandbox
}

func (c sshConfig) block() string {
	words := make([]string, len(c.ProxyCommand))
	for i, word := range c.ProxyCommand {
		words[i] = shellQuote(word)
		if runtime.GOOS == "windows" {
			words[i] = `"` + word + `"`
		}
	}
	percent := strings.NewReplacer("%", "%%") // ssh expands %h and the like
	var b strings.Builder
	fmt.Fprintf(&b, "Host %s\n", c.Host)
	for _, line := range [][2]string{
		{"HostName", c.Host},
		{"User", c.User},
		{"ProxyCommand", percent.Replace(strings.Join(words, " "))},
		{"HostKeyAlias", c.HostKeyAlias},
		{"UserKnownHostsFile", `"` + percent.Replace(c.KnownHostsFile) + `"`},
		{"GlobalKnownHostsFile", "none"},
		{"StrictHostKeyChecking", "yes"},
		// The gateway's certificate has let the user in: nothing else is asked for.
		{"PubkeyAuthentication", "no"},
		{"PasswordAuthentication", "no"},
		{"KbdInteractiveAuthentication", "no"},
		{"GSSAPIAuthentication", "no"},
		{"IdentityAgent", "none"},
		{"ServerAliveInterval", "30"},
	} {
		fmt.Fprintf(&b, "    %s %s\n", line[0], line[1])
	}
	return b.String()
}
