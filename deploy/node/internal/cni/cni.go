// Package cni is a CNI plugin at the end of a pod network's chain. It grants
// the gateway server's pods their way through the firewall before anything runs
// in them, and takes it back before their address is free again: no other pod
// ever has it, and nothing has to be watched or caught up with. Of sandboxes it
// writes down which address is whose, for as long as that is so: what the API
// says of a pod may be of a former boot. While the node boots, sandboxes also
// let the gateway go first.
package cni

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Plugin is the plugin's part that the outside can see.
type Plugin struct {
	Namespace string // of Kubernetes, whose pods are the gateway's
	Port      int    // of the gateway's pods
	BootFile  string // was written when the node booted
	Dir       string // remembers a file for every such pod, by the container's id; ends with the network namespace
	Admit     func(context.Context, netip.Addr) error
	Dismiss   func(context.Context, netip.Addr) error

	Sandboxes  string // namespace of Kubernetes, whose pods' addresses are written down
	SandboxDir string // where; see Addresses
}

// Environment is what the runtime says in environment variables.
type Environment struct {
	Command   string // CNI_COMMAND: ADD, DEL, CHECK, VERSION, …
	Container string // CNI_CONTAINERID
	Args      string // CNI_ARGS: KEY=VALUE;KEY=VALUE
}

// specVersion is the version of the CNI specification that is spoken.
const specVersion = "1.0.0"

// failure is the specification's form of an error. Codes from 100 on are the
// plugin's own.
type failure struct {
	CNIVersion string `json:"cniVersion"`
	Code       int    `json:"code"`
	Msg        string `json:"msg"`
}

// Run does what the runtime asks and answers on out, also with an error, which
// is returned as well.
func (p Plugin) Run(ctx context.Context, env Environment, in io.Reader, out io.Writer) error {
	answer, err := p.answer(ctx, env, in)
	if err != nil {
		answer, _ = json.Marshal(failure{specVersion, 100, err.Error()}) // plain strings encode
	}
	if _, writeErr := out.Write(answer); writeErr != nil {
		return errors.Join(err, writeErr)
	}
	return err
}

func (p Plugin) answer(ctx context.Context, env Environment, in io.Reader) ([]byte, error) {
	switch env.Command {
	case "VERSION":
		return json.Marshal(map[string]any{"cniVersion": specVersion, "supportedVersions": []string{"0.4.0", specVersion}})
	case "ADD":
		var config struct {
			PrevResult json.RawMessage `json:"prevResult"`
		}
		if err := json.NewDecoder(in).Decode(&config); err != nil {
			return nil, fmt.Errorf("network configuration: %w", err)
		}
		if len(bytes.TrimSpace(config.PrevResult)) == 0 {
			return nil, errors.New("network configuration: no result of an earlier plugin")
		}
		return config.PrevResult, p.add(ctx, env, config.PrevResult)
	case "DEL":
		return nil, p.del(ctx, env)
	}
	return nil, nil // CHECK, GC, STATUS
}

func (p Plugin) add(ctx context.Context, env Environment, result []byte) error {
	switch argument(env.Args, "K8S_POD_NAMESPACE") {
	case p.Namespace:
	case p.Sandboxes:
		p.yield(ctx)
		return p.note(env, result)
	default:
		return nil
	}
	file, err := fileOf(p.Dir, env.Container)
	if err != nil {
		return err
	}
	pod, err := addressIn(result)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(p.Dir, 0o700); err != nil {
		return err
	}
	// Remembered first: what was granted can always be taken back.
	if err := os.WriteFile(file, []byte(pod.String()), 0o600); err != nil {
		return err
	}
	return p.Admit(ctx, pod)
}

// del knows by its own file what was granted. Results that the runtime kept may
// be of a former boot, when the address was another pod's.
func (p Plugin) del(ctx context.Context, env Environment) error {
	if err := p.forget(env); err != nil {
		return err
	}
	file, err := fileOf(p.Dir, env.Container)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if pod, err := netip.ParseAddr(string(data)); err == nil { // else it was never granted
		if err := p.Dismiss(ctx, pod); err != nil {
			return err
		}
	}
	return os.Remove(file)
}

var containerID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)

func fileOf(dir, container string) (string, error) {
	if !containerID.MatchString(container) {
		return "", fmt.Errorf("container id %q is none", container)
	}
	return filepath.Join(dir, container), nil
}

// argument is a value in CNI_ARGS; empty for none.
func argument(args, key string) string {
	for arg := range strings.SplitSeq(args, ";") {
		if value, ok := strings.CutPrefix(arg, key+"="); ok {
			return value
		}
	}
	return ""
}

// addressIn is the IPv4 address in a result of the network plugin.
func addressIn(result []byte) (netip.Addr, error) {
	var r struct {
		IPs []struct {
			Address netip.Prefix `json:"address"`
		} `json:"ips"`
	}
	if err := json.Unmarshal(result, &r); err != nil {
		return netip.Addr{}, fmt.Errorf("result of the network plugin: %w", err)
	}
	for _, ip := range r.IPs {
		if addr := ip.Address.Addr(); addr.Is4() {
			return addr, nil
		}
	}
	return netip.Addr{}, errors.New("result of the network plugin: no IPv4 address")
}
