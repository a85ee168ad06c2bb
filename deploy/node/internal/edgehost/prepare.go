// Package edgehost is the node's side of the edge: it prepares the places and
// the environment of the edge's scripts, and looks at how the edge is.
package edgehost

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"openshell.ai/openshell/deploy/node/internal/layout"
	"openshell.ai/openshell/pkg/durable"
	"openshell.ai/openshell/pkg/edge"
	"openshell.ai/openshell/pkg/edge/process"
	"openshell.ai/openshell/pkg/gateway"
	"openshell.ai/openshell/pkg/nodeapi"
)

// Entrypoint is the program that the node runs as the edge.
const Entrypoint = edge.Scripts + "/entrypoint-dev.sh"

// nonlocalBind lets nginx listen on the VPN's address before the tunnel exists
// and after it is gone.
const nonlocalBind = "/proc/sys/net/ipv4/ip_nonlocal_bind"

// Host are the places of one gateway's edge and what its scripts are told.
type Host struct {
	settings gateway.Settings
	hostname string

	state, run, builtIn, sysctl string

	certificate sync.Mutex // its files are replaced together
	reload      func()     // lets nginx read them again
}

// New returns the edge's side of a node.
func New(node layout.Node) *Host {
	h := &Host{
		settings: node.Settings, hostname: node.Name,
		state: edge.StateDir, run: edge.RunDir, builtIn: edge.BuiltIn, sysctl: nonlocalBind,
	}
	h.reload = h.reloadNginx
	return h
}

// Prepare makes what the scripts find: directories, a current release that is
// complete, and their environment. What is there already stays, so that it may
// be done before every start of the edge.
func (h *Host) Prepare() error {
	if err := h.prepare(); err != nil {
		return fmt.Errorf("edge: %w", err)
	}
	return nil
}

func (h *Host) prepare() error {
	root := filepath.Join(h.state, "gateway")
	for _, dir := range []string{
		h.state, root, filepath.Join(root, "releases"), filepath.Join(h.state, "vpn"), filepath.Join(h.state, "logs"), filepath.Join(h.state, "spool"),
	} {
		if err := directory(dir, 0o700); err != nil {
			return err
		}
	}
	// Workers of nginx go through it to what they may read.
	if err := directory(h.run, 0o711); err != nil {
		return err
	}
	if err := h.leaveUnproven(root); err != nil {
		return err
	}
	if err := h.repairRelease(root); err != nil {
		return err
	}
	if err := link("current/app", filepath.Join(root, "app")); err != nil {
		return err
	}
	if err := os.WriteFile(h.sysctl, []byte("1\n"), 0); err != nil {
		return err
	}
	id, err := h.identity()
	if err != nil {
		return err
	}
	return h.writeEnvironment(id)
}

// Pushed reports whether app-gateway has ended, and with it what the rest of the
// node must not be gone for: its last push.
func (h *Host) Pushed() bool {
	return !process.Running(filepath.Join(h.run, "loop.pid")) && !process.Running(filepath.Join(h.run, "app.pid"))
}

// directory makes one, or corrects its mode.
func directory(path string, mode fs.FileMode) error {
	if err := os.MkdirAll(path, mode); err != nil {
		return err
	}
	return os.Chmod(path, mode)
}

// leaveUnproven leads current back to the release before it when the reload that
// switched was interrupted before the new one answered. One that is still at it
// does so itself.
func (h *Host) leaveUnproven(root string) error {
	pending := filepath.Join(root, "pending")
	data, err := os.ReadFile(pending)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if process.Running(filepath.Join(h.run, reloadFile)) {
		return nil
	}
	if before := strings.TrimSpace(string(data)); before != "" {
		slog.Warn("a reload was interrupted before its build had answered; the release before it is used again", "release", before)
		if err := link(before, filepath.Join(root, "current")); err != nil {
			return err
		}
	}
	return os.Remove(pending)
}

// repairRelease leads current to the image's own release unless it leads to a
// complete one.
func (h *Host) repairRelease(root string) error {
	current := filepath.Join(root, "current")
	why := incomplete(current)
	if why == nil {
		return nil
	}
	if !errors.Is(why, fs.ErrNotExist) || exists(current) {
		slog.Warn("the edge's release cannot be used; that of the image takes its place", "reason", why)
	}
	if why := incomplete(h.builtIn); why != nil {
		return fmt.Errorf("release of the image: %w", why)
	}
	return link(h.builtIn, current)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// incomplete says what a release lacks; nil when nothing.
func incomplete(release string) error {
	for _, name := range []string{"app/main.sh", "app/entrypoint-dev.sh", "bin/app-gateway"} {
		path := filepath.Join(release, name)
		info, err := os.Stat(path)
		switch {
		case err != nil:
			return err
		case !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0:
			return fmt.Errorf("%s is no program", path)
		}
	}
	return nil
}

// link makes path a symbolic link to target, in one step. A directory in its
// place stays for somebody to look at.
func link(target, path string) error {
	if have, err := os.Readlink(path); err == nil && have == target {
		return nil
	}
	temp := path + ".new"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Symlink(target, temp); err != nil {
		return err
	}
	return os.Rename(temp, path)
}

var uuid = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// identity is the gateway's id, drawn once and kept on the volume.
func (h *Host) identity() (string, error) {
	path := filepath.Join(h.state, "gateway-id")
	data, err := os.ReadFile(path)
	id := strings.TrimSpace(string(data))
	switch {
	case err == nil && uuid.MatchString(id):
		return id, nil
	case err == nil:
		slog.Warn("the edge's gateway-id cannot be read; a new one takes its place")
	case !errors.Is(err, fs.ErrNotExist):
		return "", err
	}
	id = newUUID()
	return id, durable.WriteFile(path, []byte(id+"\n"), 0o600)
}

// newUUID is a random one, version 4.
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it does not fail
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

var hostName = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// allowedHosts are names and addresses that requests may be for, beyond those
// that nginx always takes. The name of a container need not be one of DNS.
func (h *Host) allowedHosts() []string {
	hosts := append([]string{h.hostname, h.settings.Name.Resource()}, h.settings.GatewayHosts...)
	if ip := net.ParseIP(h.settings.Bind); ip != nil && !ip.IsUnspecified() {
		hosts = append(hosts, h.settings.Bind)
	}
	for i, host := range hosts {
		hosts[i] = strings.ToLower(host)
	}
	hosts = slices.DeleteFunc(hosts, func(host string) bool { return net.ParseIP(host) == nil && !hostName.MatchString(host) })
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

// environmentName is the gateway's name as a DNS label, and itself if it is one.
func (h *Host) environmentName() string {
	return strings.TrimPrefix(h.settings.Name.Hostname(), gateway.Name("").Resource())
}

// environment is what the scripts are told, in the order of their names.
func (h *Host) environment(id string) []string {
	told := []string{
		"DOMAIN=localhost",
		"ENV_NAME=" + h.environmentName(),
		"GATEWAY_ALLOWED_HOSTS=" + strings.Join(h.allowedHosts(), ","),
		"GATEWAY_FQDN=" + h.hostname,
		"GATEWAY_HTTP_PORT=" + strconv.Itoa(nodeapi.HTTPPort),
		"GATEWAY_ID=" + id,
		"GATEWAY_POD_CIDR=" + h.settings.Network.PodCIDR.String(),
		"GATEWAY_VPN_PORT=" + strconv.Itoa(nodeapi.VPNPort),
	}
	if h.settings.HTTPTLS {
		// Also while the files are not there: nginx does not start without them,
		// where without the variables it would serve plain HTTP.
		told = append(told, "GATEWAY_TLS_CERT="+filepath.Join(h.run, certFile), "GATEWAY_TLS_KEY="+filepath.Join(h.run, keyFile))
		slices.Sort(told)
	}
	return told
}
