package doctor

import (
	"slices"
	"strings"
	"testing"
	"time"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/nodeapi"
)

var now = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

func good() docker.Info {
	return docker.Info{OS: "linux", MemTotal: 8 << 30, CgroupVersion: 2, StorageDriver: "overlay2", BackingFS: "extfs", SystemTime: now}
}

func TestEngine(t *testing.T) {
	if bad := failing(t, Engine(good(), now)); len(bad) > 0 {
		t.Errorf("a good engine fails %v", bad)
	}
	for _, c := range []struct {
		id, says string
		change   func(*docker.Info)
	}{
		{"engine-os", "Linux containers", func(i *docker.Info) { i.OS = "windows" }},
		{"engine-rootless", "runs as root", func(i *docker.Info) { i.Rootless = true }},
		{"engine-userns", "userns-remap", func(i *docker.Info) { i.UserRemap = true }},
		{"engine-seccomp", "seccomp", func(i *docker.Info) { i.NoSeccomp = true }},
		{"engine-memory", "512MiB", func(i *docker.Info) { i.MemTotal = 512 << 20 }},
		{"engine-cgroups", "/sys/fs/cgroup", func(i *docker.Info) { i.CgroupVersion = 0 }},
		{"engine-controllers", "cgroup_enable=memory", func(i *docker.Info) { i.NoControllers = []string{"memory"} }},
		{"engine-controllers", "cpu, cpuset: an engine within a container", func(i *docker.Info) { i.NoControllers = []string{"cpu", "cpuset"} }},
		{"engine-storage", "overlay2", func(i *docker.Info) { i.StorageDriver = "vfs" }},
		{"engine-filesystem", "overlayfs, on which", func(i *docker.Info) { i.BackingFS = "overlayfs" }},
		{"engine-filesystem", "xfs without file types", func(i *docker.Info) { i.BackingFS, i.NoDType = "xfs", true }},
		{"engine-forwarding", "net.ipv4.ip_forward=1", func(i *docker.Info) { i.NoForwarding = true }},
		{"engine-clock", "6m0s", func(i *docker.Info) { i.SystemTime = now.Add(-6 * time.Minute) }},
	} {
		info := good()
		c.change(&info)
		if bad := failing(t, Engine(info, now)); len(bad) != 1 || bad[0].ID != c.id || !strings.Contains(bad[0].Message, c.says) {
			t.Errorf("%s: %v fail", c.id, bad)
		}
	}
}

// What an engine does not tell does not fail: the newest ones name no file
// system below their store of images.
func TestUnknownOfTheEngineDoesNotFail(t *testing.T) {
	info := docker.Info{OS: "linux", CgroupVersion: 2, StorageDriver: "overlayfs"}
	if bad := failing(t, Engine(info, now)); len(bad) > 0 {
		t.Errorf("fail: %v", bad)
	}
}

func TestHost(t *testing.T) {
	if bad := failing(t, Host(Facts{})); len(bad) > 0 {
		t.Errorf("what is unknown fails: %v", bad)
	}
	for _, c := range []struct {
		id, says string
		facts    Facts
	}{
		{"host-inotify", "is 128", Facts{InotifyInstances: 128}},
		{"host-inotify-watches", "is 8192", Facts{InotifyWatches: 8192}},
		{"host-disk", "1MiB are free in /d", Facts{FreeBytes: 1 << 20, DataDir: "/d"}},
		{"host-inodes", "7 files can still be made in /d", Facts{Inodes: 1000, FreeInodes: 7, DataDir: "/d"}},
		{"host-memory", "64MiB", Facts{Available: 64 << 20}},
		{"host-connections", "990 connections of at most 1000", Facts{Connections: 990, MaxConnections: 1000}},
		{"host-tun", "modprobe tun", Facts{NoTunnel: true}},
		{"host-kernel", "nf_tables, veth", Facts{NoModules: []string{"nf_tables", "veth"}}},
		{"host-iptables", "/etc/docker/daemon.json", Facts{NoIPTables: true, EngineSetting: "/etc/docker/daemon.json"}},
	} {
		if bad := failing(t, Host(c.facts)); len(bad) != 1 || bad[0].ID != c.id || !strings.Contains(bad[0].Message, c.says) {
			t.Errorf("%s: %v fail", c.id, bad)
		}
	}
}

// failing are the failing checks, each of which says what is wrong and, behind
// a colon, what to do.
func failing(t *testing.T, checks []nodeapi.Check) []nodeapi.Check {
	t.Helper()
	for _, c := range checks {
		if problem, advice, _ := strings.Cut(c.Message, ": "); c.OK != (c.Message == "") || !c.OK && (problem == "" || advice == "") {
			t.Errorf("%s: ok %t, message %q", c.ID, c.OK, c.Message)
		}
	}
	return slices.DeleteFunc(checks, func(c nodeapi.Check) bool { return c.OK })
}
