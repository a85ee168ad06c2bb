package docker

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestInfoReadsWhatAnEngineSays(t *testing.T) {
	for name, c := range map[string]struct {
		answer string
		want   Info
	}{
		"a usual one": {
			`{"OSType":"linux","Architecture":"x86_64","Name":"laptop","OperatingSystem":"Debian GNU/Linux 12","KernelVersion":"6.1.0-9-amd64",
			"DockerRootDir":"/var/lib/docker","Driver":"overlay2","DriverStatus":[["Backing Filesystem","extfs"],["Supports d_type","true"]],
			"CgroupVersion":"2","MemoryLimit":true,"CpuCfsQuota":true,"CPUSet":true,"IPv4Forwarding":true,"LiveRestoreEnabled":true,
			"SecurityOptions":["name=apparmor","name=seccomp,profile=default","name=cgroupns"],"NCPU":4,"MemTotal":1024,
			"SystemTime":"2026-03-04T12:00:00Z","ServerVersion":"24.0.7","Warnings":["WARNING: x"]}`,
			Info{OS: "linux", Arch: "amd64", Name: "laptop", System: "Debian GNU/Linux 12", Kernel: "6.1.0-9-amd64", RootDir: "/var/lib/docker",
				StorageDriver: "overlay2", BackingFS: "extfs", CgroupVersion: 2, LiveRestore: true, NCPU: 4, MemTotal: 1024,
				SystemTime: time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC), ServerVersion: "24.0.7", Warnings: []string{"WARNING: x"}},
		},
		"one that lacks much": {
			`{"OSType":"linux","Driver":"overlay2","DriverStatus":[["Backing Filesystem","xfs"],["Supports d_type","false"]],"CgroupVersion":"1",
			"SecurityOptions":["name=userns"]}`,
			Info{OS: "linux", StorageDriver: "overlay2", BackingFS: "xfs", NoDType: true, CgroupVersion: 1, NoControllers: []string{"memory", "cpu", "cpuset"},
				UserRemap: true, NoSeccomp: true, NoForwarding: true},
		},
		"a rootless one": {
			`{"OSType":"linux","CgroupVersion":"2","MemoryLimit":true,"CpuCfsQuota":true,"CPUSet":false,"IPv4Forwarding":true,"SecurityOptions":["name=seccomp,profile=builtin","name=rootless"]}`,
			Info{OS: "linux", CgroupVersion: 2, NoControllers: []string{"cpuset"}, Rootless: true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := connect(t.Context(), serveEngine(t, apiVersion("1.41", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				_, _ = w.Write([]byte(c.answer))
			})))
			if err != nil {
				t.Fatal(err)
			}
			got, err := e.Info(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got.Endpoint, got.APIVersion = "", "" // of the connection, not the answer
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}
