package doctor

import (
	"testing"
	"time"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/nodeapi"
)

var now = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

func good() docker.Info {
	return docker.Info{OS: "linux", MemTotal: 8 << 30, CgroupVersion: 2, StorageDriver: "overlay2", SystemTime: now}
}

func TestEngine(t *testing.T) {
	if bad := failing(Engine(good(), now)); len(bad) > 0 {
		t.Errorf("a good engine fails %v", bad)
	}
	for id, change := range map[string]func(*docker.Info){
		"engine-os":       func(i *docker.Info) { i.OS = "windows" },
		"engine-rootless": func(i *docker.Info) { i.Rootless = true },
		"engine-memory":   func(i *docker.Info) { i.MemTotal = 512 << 20 },
		"engine-cgroups":  func(i *docker.Info) { i.CgroupVersion = 0 },
		"engine-storage":  func(i *docker.Info) { i.StorageDriver = "vfs" },
		"engine-clock":    func(i *docker.Info) { i.SystemTime = now.Add(-6 * time.Minute) },
	} {
		info := good()
		change(&info)
		if bad := failing(Engine(info, now)); len(bad) != 1 || bad[0] != id {
			t.Errorf("%s: %v fail", id, bad)
		}
	}
}

func TestHost(t *testing.T) {
	if bad := failing(Host(Facts{})); len(bad) > 0 {
		t.Errorf("what is unknown fails: %v", bad)
	}
	if bad := failing(Host(Facts{InotifyInstances: 128, FreeBytes: 1 << 20, DataDir: "/var/lib/docker"})); len(bad) != 2 {
		t.Errorf("%v", bad)
	}
}

// failing are the ids of failing checks, each of which says what to do.
func failing(checks []nodeapi.Check) []string {
	var out []string
	for _, c := range checks {
		if !c.OK {
			out = append(out, c.ID)
		}
		if !c.OK && c.Message == "" {
			out = append(out, c.ID+" without a message")
		}
	}
	return out
}
