// Package doctor judges whether a Docker Engine and a host can run a gateway.
// Every check has an id that stays the same, and says what to do when it fails.
// What cannot be known does not fail.
package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/docker/go-units"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/nodeapi"
)

const (
	minMemory = 1 << 30
	maxSkew   = 5 * time.Minute
)

// Fatal reports whether no gateway comes up at all where the check fails. The
// others may well be lived with.
func Fatal(id string) bool { return id == "engine-os" || id == "engine-rootless" }

// Engine judges the Docker Engine as seen at now.
func Engine(info docker.Info, now time.Time) []nodeapi.Check {
	skew := info.SystemTime.Sub(now).Abs()
	return []nodeapi.Check{
		check("engine-os", info.OS == "linux", "the engine runs %s containers: switch it to Linux containers", info.OS),
		check("engine-rootless", !info.Rootless, "the engine is rootless, where a node cannot manage control groups: use one that runs as root"),
		check("engine-userns", !info.UserRemap,
			"the engine gives containers users of their own, who cannot mount what a node needs: take \"userns-remap\" out of its daemon.json"),
		check("engine-seccomp", !info.NoSeccomp,
			"the engine cannot filter system calls and refuses the node's profile: use a kernel and an engine with seccomp"),
		check("engine-memory", info.MemTotal == 0 || info.MemTotal >= minMemory,
			"the engine has %s of memory, a gateway wants %s: give it more", units.BytesSize(float64(info.MemTotal)), units.BytesSize(minMemory)),
		check("engine-cgroups", info.CgroupVersion == 1 || info.CgroupVersion == 2,
			"the engine reports no control groups: mount /sys/fs/cgroup and restart it"),
		check("engine-controllers", len(info.NoControllers) == 0, "the engine has no control group controller %s: %s",
			strings.Join(info.NoControllers, ", "), delegate(info)),
		check("engine-storage", overlayable(info.StorageDriver),
			"the storage driver is %s, on which pods cannot use overlayfs unless the volume lies elsewhere: use overlay2", info.StorageDriver),
		check("engine-filesystem", !info.NoDType && !slices.Contains(notBelow, info.BackingFS),
			"its data lies on %s, on which pods cannot use overlayfs: put its \"data-root\" on ext4, or on xfs made with ftype=1", unfit(info)),
		check("engine-forwarding", !info.NoForwarding,
			"the kernel forwards no IPv4, so that nothing leaves a gateway: `sysctl -w net.ipv4.ip_forward=1`"),
		check("engine-clock", info.SystemTime.IsZero() || skew <= maxSkew,
			"its clock differs from this host's by %s: synchronise both", skew.Round(time.Second)),
	}
}

// delegate says how to get controllers.
func delegate(info docker.Info) string {
	if slices.Equal(info.NoControllers, []string{"memory"}) { // as on a Raspberry Pi
		return "add cgroup_enable=memory to the kernel's command line, and reboot"
	}
	return "an engine within a container or a service needs them delegated to it, another one a kernel that has them"
}

// overlayable reports whether volumes of the engine usually lie on a file
// system that overlayfs accepts.
func overlayable(driver string) bool { return driver != "vfs" && driver != "aufs" }

// notBelow are file systems on which overlayfs cannot write, by Docker's names.
var notBelow = []string{"overlayfs", "aufs", "ecryptfs", "nfs", "smb", "vfat"}

func unfit(info docker.Info) string {
	if info.NoDType {
		return strings.TrimSpace(info.BackingFS + " without file types in its directories")
	}
	return info.BackingFS
}

func check(id string, ok bool, format string, args ...any) nodeapi.Check {
	c := nodeapi.Check{ID: id, OK: ok}
	if !ok {
		c.Message = fmt.Sprintf(format, args...)
	}
	return c
}
