package doctor

import (
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"openshell.ai/openshell/pkg/docker"
)

const release = "6.1.0-9-amd64"

// laptop is a host on which the engine runs.
var laptop = map[string]string{
	"proc/sys/kernel/osrelease":                 release + "\n",
	"proc/sys/kernel/hostname":                  "laptop\n",
	"proc/sys/fs/inotify/max_user_instances":    "128\n",
	"proc/sys/fs/inotify/max_user_watches":      "65536\n",
	"proc/sys/net/netfilter/nf_conntrack_count": "12\n",
	"proc/sys/net/netfilter/nf_conntrack_max":   "262144\n",
	"proc/meminfo": "MemTotal:  8000 kB\nMemFree: 1 kB\nMemAvailable:    4096 kB\n",
	"proc/modules": "veth 36864 0 - Live 0x0000000000000000\n",
	"dev/null":     "",
	"dev/net/tun":  "",
	"lib/modules/" + release + "/modules.dep":     "kernel/fs/overlayfs/overlay.ko.zst:\nkernel/drivers/net/tun.ko:\n",
	"lib/modules/" + release + "/modules.builtin": "kernel/net/netfilter/nf_tables.ko\n",
	"etc/docker/daemon.json":                      `{"live-restore": true}`,
	"var/lib/docker/volumes/metadata.db":          "",
}

func TestLocal(t *testing.T) {
	engine := docker.Info{Kernel: release, Name: "laptop", RootDir: "/var/lib/docker"}
	shared := Facts{InotifyInstances: 128, InotifyWatches: 65536}
	all := shared
	all.Connections, all.MaxConnections, all.Available, all.DataDir = 12, 262144, 4<<20, "/var/lib/docker"
	for name, c := range map[string]struct {
		engine docker.Info
		change map[string]string // "-": not there
		want   func(Facts) Facts
	}{
		"the engine runs here":                {engine: engine},
		"in a virtual machine":                {engine: docker.Info{Kernel: "6.6.1-linuxkit", Name: "docker-desktop"}, want: func(Facts) Facts { return Facts{} }},
		"beside, on the same kernel":          {engine: docker.Info{Kernel: release, Name: "docker-desktop"}, want: func(Facts) Facts { return shared }},
		"and this is one of its containers":   {engine: engine, change: map[string]string{".dockerenv": ""}, want: func(Facts) Facts { return shared }},
		"its data cannot be looked at":        {engine: docker.Info{Kernel: release, Name: "laptop", RootDir: "/elsewhere"}, want: func(f Facts) Facts { f.DataDir = ""; return f }},
		"without the device of tunnels":       {engine: engine, change: map[string]string{"dev/net/tun": "-"}, want: func(f Facts) Facts { f.NoTunnel = true; return f }},
		"without any device to be seen":       {engine: engine, change: map[string]string{"dev/net/tun": "-", "dev/null": "-"}},
		"a kernel without nftables":           {engine: engine, change: map[string]string{"lib/modules/" + release + "/modules.builtin": "kernel/x/dm-mod.ko"}, want: func(f Facts) Facts { f.NoModules = []string{"nf_tables"}; return f }},
		"a kernel with everything built in":   {engine: engine, change: map[string]string{"lib/modules/" + release + "/modules.dep": "-", "proc/modules": "-"}},
		"the firewall is left alone":          {engine: engine, change: map[string]string{"etc/docker/daemon.json": `{"iptables": false}`}, want: func(f Facts) Facts { f.NoIPTables, f.EngineSetting = true, "/etc/docker/daemon.json"; return f }},
		"settings that nobody understands":    {engine: engine, change: map[string]string{"etc/docker/daemon.json": `{"iptables": `}},
		"no connections are tracked":          {engine: engine, change: map[string]string{"proc/sys/net/netfilter/nf_conntrack_max": "-", "proc/sys/net/netfilter/nf_conntrack_count": "-"}, want: func(f Facts) Facts { f.Connections, f.MaxConnections = 0, 0; return f }},
		"memory in a form that is not known":  {engine: engine, change: map[string]string{"proc/meminfo": "MemAvailable: much\n"}, want: func(f Facts) Facts { f.Available = 0; return f }},
		"a limit in a form that is not known": {engine: engine, change: map[string]string{"proc/sys/fs/inotify/max_user_watches": "-1"}, want: func(f Facts) Facts { f.InotifyWatches = 0; return f }},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			files := maps.Clone(laptop)
			maps.Copy(files, c.change)
			for path, content := range files {
				if content == "-" {
					continue
				}
				path = filepath.Join(root, path)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got := local(root, c.engine)
			if (got.FreeBytes == 0) != (got.DataDir == "") {
				t.Errorf("%d bytes are free in %q", got.FreeBytes, got.DataDir)
			}
			got.FreeBytes, got.FreeInodes, got.Inodes = 0, 0, 0 // of this disk
			want := all
			if c.want != nil {
				want = c.want(all)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestLocalOfThisHost(t *testing.T) {
	kernel := host{"/"}.text("proc/sys/kernel/osrelease")
	if f := Local(docker.Info{Kernel: kernel}); kernel != "" && f.InotifyInstances == 0 {
		t.Errorf("%+v", f)
	}
}
