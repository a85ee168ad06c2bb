// Package doctor judges whether a Docker Engine and a host can run a gateway.
// Every check has an id that stays the same, and says what to do when it fails.
package doctor

import (
	"fmt"
	"time"

	"github.com/docker/go-units"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/nodeapi"
)

const (
	minMemory  = 1 << 30
	minFree    = 3 << 30
	minInotify = 512 // instances: a gateway takes about fifty, every sandbox one or two
	maxSkew    = 5 * time.Minute
)

// Engine judges the Docker Engine as seen at now.
func Engine(info docker.Info, now time.Time) []nodeapi.Check {
	skew := info.SystemTime.Sub(now).Abs()
	return []nodeapi.Check{
		check("engine-os", info.OS == "linux", "the engine runs %s containers: switch it to Linux containers", info.OS),
		check("engine-rootless", !info.Rootless, "the engine is rootless, where a node cannot manage control groups: use one that runs as root"),
		check("engine-memory", info.MemTotal == 0 || info.MemTotal >= minMemory,
			"the engine has %s of memory, a gateway wants %s: give it more", units.BytesSize(float64(info.MemTotal)), units.BytesSize(minMemory)),
		check("engine-cgroups", info.CgroupVersion == 1 || info.CgroupVersion == 2,
			"the engine reports no control groups: mount /sys/fs/cgroup and restart it"),
		check("engine-storage", overlayable(info.StorageDriver),
			"the storage driver is %s, on which pods cannot use overlayfs unless the volume lies elsewhere: use overlay2", info.StorageDriver),
		check("engine-clock", info.SystemTime.IsZero() || skew <= maxSkew,
			"its clock differs from this host's by %s: synchronise both", skew.Round(time.Second)),
	}
}

// overlayable reports whether volumes of the engine usually lie on a file
// system that overlayfs accepts.
func overlayable(driver string) bool { return driver != "vfs" && driver != "aufs" }

// Facts are what this host says about itself; 0 is unknown.
type Facts struct {
	InotifyInstances int    // fs.inotify.max_user_instances
	FreeBytes        uint64 // on the disk of the engine's data, when it is this host's
	DataDir          string // that directory
}

// Host judges this host.
func Host(f Facts) []nodeapi.Check {
	return []nodeapi.Check{
		check("host-inotify", f.InotifyInstances == 0 || f.InotifyInstances >= minInotify,
			"fs.inotify.max_user_instances is %d, too few for several sandboxes: `sysctl -w fs.inotify.max_user_instances=1024`", f.InotifyInstances),
		check("host-disk", f.FreeBytes == 0 || f.FreeBytes >= minFree,
			"%s are free in %s, a gateway wants %s: see what takes it with `docker system df`",
			units.BytesSize(float64(f.FreeBytes)), f.DataDir, units.BytesSize(minFree)),
	}
}

func check(id string, ok bool, format string, args ...any) nodeapi.Check {
	c := nodeapi.Check{ID: id, OK: ok}
	if !ok {
		c.Message = fmt.Sprintf(format, args...)
	}
	return c
}
