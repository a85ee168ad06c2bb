package doctor

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"openshell.ai/openshell/pkg/docker"
)

// Local reads the facts of this host that matter to the engine. What cannot be
// read stays unknown: this user may not see it.
func Local(engine docker.Info) Facts { return local("/", engine) }

// local is Local with the host's files below root.
func local(root string, engine docker.Info) Facts {
	h := host{root}
	var f Facts
	if engine.Kernel == "" || h.text("proc/sys/kernel/osrelease") != engine.Kernel {
		return f // it runs in a virtual machine, or on another one
	}
	f.InotifyInstances = h.count("proc/sys/fs/inotify/max_user_instances")
	f.InotifyWatches = h.count("proc/sys/fs/inotify/max_user_watches")
	if h.text("proc/sys/kernel/hostname") != engine.Name || h.has(".dockerenv") || h.has("run/.containerenv") {
		return f // the kernel is the same, but not the files, or the network
	}
	f.Connections = h.count("proc/sys/net/netfilter/nf_conntrack_count")
	f.MaxConnections = h.count("proc/sys/net/netfilter/nf_conntrack_max")
	f.Available = h.available()
	f.NoTunnel = h.lacks("dev/net/tun") && h.has("dev/null")
	f.NoModules = h.lackingModules(engine.Kernel)
	f.NoIPTables, f.EngineSetting = h.iptablesOff()
	var disk syscall.Statfs_t
	if err := syscall.Statfs(h.path(engine.RootDir), &disk); engine.RootDir != "" && err == nil {
		f.DataDir, f.FreeBytes = engine.RootDir, disk.Bavail*uint64(disk.Bsize)
		f.Inodes, f.FreeInodes = disk.Files, disk.Ffree
	}
	return f
}

type host struct{ root string }

func (h host) path(name string) string { return filepath.Join(h.root, name) }

func (h host) text(name string) string {
	data, err := os.ReadFile(h.path(name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

func (h host) count(name string) int { return parseCount(h.text(name)) }

func (h host) has(name string) bool {
	_, err := os.Lstat(h.path(name))
	return err == nil
}

// lacks is not the contrary of has: what cannot be looked at may be there.
func (h host) lacks(name string) bool {
	_, err := os.Lstat(h.path(name))
	return errors.Is(err, fs.ErrNotExist)
}

// available is the memory that could be used without swapping. Format: proc(5),
// /proc/meminfo.
func (h host) available() uint64 {
	for line := range strings.Lines(h.text("proc/meminfo")) {
		if rest, ok := strings.CutPrefix(line, "MemAvailable:"); ok {
			kib, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err == nil {
				return kib << 10
			}
		}
	}
	return 0
}

// modules are what a node uses of the kernel and a small one may lack.
var modules = []string{"nf_tables", "overlay", "tun", "veth"}

// lackingModules are those that are not loaded, and are in neither list that
// comes with a kernel's modules. Without these lists nothing is known: a kernel
// may have everything built in.
func (h host) lackingModules(release string) []string {
	dir := filepath.Join("lib/modules", release)
	available, builtin := h.text(filepath.Join(dir, "modules.dep")), h.text(filepath.Join(dir, "modules.builtin"))
	if available == "" || builtin == "" {
		return nil
	}
	known := map[string]bool{}
	for line := range strings.Lines(available + "\n" + builtin) {
		file, _, _ := strings.Cut(strings.TrimSpace(line), ":")
		name, _, _ := strings.Cut(filepath.Base(file), ".ko")
		known[strings.ReplaceAll(name, "-", "_")] = true
	}
	for line := range strings.Lines(h.text("proc/modules")) {
		name, _, _ := strings.Cut(line, " ")
		known[name] = true
	}
	var lacking []string
	for _, name := range modules {
		if !known[name] {
			lacking = append(lacking, name)
		}
	}
	return lacking
}

// iptablesOff looks into the engine's settings, where packages put them.
func (h host) iptablesOff() (off bool, file string) {
	const settings = "/etc/docker/daemon.json"
	var daemon struct {
		IPTables *bool `json:"iptables"`
	}
	if err := json.Unmarshal([]byte(h.text(settings)), &daemon); err != nil || daemon.IPTables == nil {
		return false, ""
	}
	return !*daemon.IPTables, settings
}

func parseCount(s string) int {
	n, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil || n < 0 {
		return 0
	}
	return n
}
