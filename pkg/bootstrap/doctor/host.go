package doctor

import (
	"strings"

	"github.com/docker/go-units"

	"openshell.ai/openshell/pkg/nodeapi"
)

const (
	minFree    = 3 << 30
	minInodes  = 50_000 // the files of the node's images and of some sandboxes
	minRoom    = 256 << 20
	minInotify = 512 // instances: a gateway takes about fifty, every sandbox one or two
	minWatches = 65536
)

// Facts are what this host says about itself. The zero value is unknown, and
// so is what the engine does not share with this host.
type Facts struct {
	InotifyInstances int // fs.inotify.max_user_instances
	InotifyWatches   int // fs.inotify.max_user_watches
	Connections      int // that the kernel tracks
	MaxConnections   int

	DataDir       string // the engine's
	FreeBytes     uint64 // on its disk
	FreeInodes    uint64
	Inodes        uint64   // 0: the file system does not count them
	Available     uint64   // memory, in bytes
	NoTunnel      bool     // there is no /dev/net/tun
	NoModules     []string // features that the kernel neither has nor can load
	NoIPTables    bool     // the engine was told to leave the firewall alone
	EngineSetting string   // the file in which it was
}

// Host judges this host.
func Host(f Facts) []nodeapi.Check {
	return []nodeapi.Check{
		check("host-inotify", f.InotifyInstances == 0 || f.InotifyInstances >= minInotify,
			"fs.inotify.max_user_instances is %d, too few for several sandboxes: `sysctl -w fs.inotify.max_user_instances=1024`", f.InotifyInstances),
		check("host-inotify-watches", f.InotifyWatches == 0 || f.InotifyWatches >= minWatches,
			"fs.inotify.max_user_watches is %d, too few for what watches files in sandboxes: `sysctl -w fs.inotify.max_user_watches=524288`", f.InotifyWatches),
		check("host-disk", f.FreeBytes == 0 || f.FreeBytes >= minFree,
			"%s are free in %s, a gateway wants %s: see what takes it with `docker system df`",
			units.BytesSize(float64(f.FreeBytes)), f.DataDir, units.BytesSize(minFree)),
		check("host-inodes", f.Inodes == 0 || f.FreeInodes >= minInodes,
			"%d files can still be made in %s, a gateway wants %d: see what takes them with `docker system df`", f.FreeInodes, f.DataDir, minInodes),
		check("host-memory", f.Available == 0 || f.Available >= minRoom,
			"%s of memory are left: end something, or give the gateway less with `openshell gateway start --memory SIZE`", units.BytesSize(float64(f.Available))),
		check("host-connections", f.MaxConnections == 0 || f.Connections < f.MaxConnections/10*9,
			"the kernel tracks %d connections of at most %d, and drops new ones soon: raise net.netfilter.nf_conntrack_max", f.Connections, f.MaxConnections),
		check("host-tun", !f.NoTunnel, "there is no /dev/net/tun, which every gateway gets for its VPN: `modprobe tun`"),
		check("host-kernel", len(f.NoModules) == 0,
			"the kernel lacks %s: reboot if it was updated since, else use one that has them", strings.Join(f.NoModules, ", ")),
		check("host-iptables", !f.NoIPTables,
			"%s says \"iptables\": false, so that nothing leaves a gateway and its ports may not answer: take it out and restart Docker", f.EngineSetting),
	}
}
