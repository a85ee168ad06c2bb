package sandbox

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	v1 "openshell.ai/openshell/pkg/sandbox/v1"
	"openshell.ai/openshell/pkg/sandboxapi"
)

func podOf(t *testing.T, cfg Config, s *v1.Sandbox) *corev1.Pod {
	t.Helper()
	pod, err := makePod(cfg, s, testNode().Status.Allocatable)
	if err != nil {
		t.Fatal(err)
	}
	return pod
}

func TestPodIsHardened(t *testing.T) {
	s := testSandbox()
	s.Spec.Labels = map[string]string{"mine": "label"}
	s.Spec.Annotations = map[string]string{"container.apparmor.security.beta.kubernetes.io/sandbox": "unconfined"}
	image := testConfig()
	image.Supervisor = Supervisor{Image: "server:1"}
	for _, cfg := range []Config{testConfig(), image} {
		pod := podOf(t, cfg, s)
		spec := pod.Spec
		for _, tt := range []struct {
			rule string
			ok   bool
		}{
			{"no token of the Kubernetes API", !*spec.AutomountServiceAccountToken && spec.ServiceAccountName == ""},
			{"no addresses of services", !*spec.EnableServiceLinks},
			{"no host namespaces", !spec.HostNetwork && !spec.HostPID && !spec.HostIPC && spec.ShareProcessNamespace == nil},
			{"default seccomp profile", spec.SecurityContext.SeccompProfile.Type == corev1.SeccompProfileTypeRuntimeDefault},
			{"no user for the pause process", spec.SecurityContext.RunAsUser == nil && spec.SecurityContext.FSGroup == nil},
			{"no annotations of the client's, which may loosen the pod", len(pod.Annotations) == 0},
			{"no labels of the client's", cmp.Equal(pod.Labels, labels(testID))},
			{"started again after an interruption", spec.RestartPolicy == corev1.RestartPolicyAlways},
		} {
			if !tt.ok {
				t.Errorf("does not hold: %s", tt.rule)
			}
		}
		for _, c := range append(spec.InitContainers, spec.Containers...) {
			sc := c.SecurityContext
			if *sc.AllowPrivilegeEscalation || (sc.Privileged != nil && *sc.Privileged) || sc.SeccompProfile != nil {
				t.Errorf("container %s: %+v", c.Name, sc)
			}
			if !cmp.Equal(sc.Capabilities.Drop, []corev1.Capability{"ALL"}) {
				t.Errorf("container %s keeps capabilities: %v", c.Name, sc.Capabilities)
			}
			if c.Resources.Limits.Memory().IsZero() {
				t.Errorf("container %s has no limit of memory", c.Name)
			}
		}
		want := []corev1.Capability{"CHOWN", "SETUID", "SETGID", "KILL"}
		if diff := cmp.Diff(want, spec.Containers[0].SecurityContext.Capabilities.Add); diff != "" {
			t.Errorf("capabilities of the supervisor (-want +got):\n%s", diff)
		}
	}
}

func TestPodMountsWhatTheSupervisorExpects(t *testing.T) {
	pod := podOf(t, testConfig(), testSandbox())
	type mount struct {
		from, sub string
		readOnly  bool
	}
	got := map[string]mount{}
	for _, m := range pod.Spec.Containers[0].VolumeMounts {
		for _, v := range pod.Spec.Volumes {
			switch {
			case v.Name != m.Name:
			case v.HostPath != nil:
				got[m.MountPath] = mount{v.HostPath.Path, m.SubPath, m.ReadOnly}
			case v.Secret != nil:
				if *v.Secret.DefaultMode != 0o400 {
					t.Errorf("the Secret is mounted with mode %o", *v.Secret.DefaultMode)
				}
				got[m.MountPath] = mount{"secret " + v.Secret.SecretName, m.SubPath, m.ReadOnly}
			default:
				got[m.MountPath] = mount{"claim " + v.PersistentVolumeClaim.ClaimName, m.SubPath, m.ReadOnly}
			}
		}
	}
	want := map[string]mount{
		"/opt/openshell/bin":    {"/opt/openshell/bin", "", true},
		"/run/openshell/secret": {"secret " + testID, "", true},
		"/sandbox":              {"claim " + testID, "workspace", false},
		"/run/openshell/state":  {"claim " + testID, "state", false},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(mount{})); diff != "" {
		t.Errorf("mounts (-want +got):\n%s", diff)
	}
}

func TestSupervisorFromAnImage(t *testing.T) {
	cfg := testConfig()
	cfg.Supervisor = Supervisor{Image: "server:1"}
	pod := podOf(t, cfg, testSandbox())
	if c := pod.Spec.InitContainers[0]; c.Image != "server:1" || c.VolumeMounts[0].MountPath != sandboxapi.BinaryDir {
		t.Errorf("init container = %+v", c)
	}
	for _, v := range pod.Spec.Volumes {
		if v.HostPath != nil {
			t.Errorf("volume %s is a directory of the node", v.Name)
		}
	}
}

func TestSupervisorEnvironment(t *testing.T) {
	cfg := testConfig()
	cfg.HintAddress = "hints:8082"
	s := testSandbox()
	s.Spec.LogLevel = "debug"
	s.Spec.Command = &v1.Command{Argv: []string{"sh", "-c", "echo $(HOME) $$"}, TTY: true, Hold: true}
	got := map[string]string{}
	for _, e := range podOf(t, cfg, s).Spec.Containers[0].Env {
		if e.ValueFrom != nil {
			t.Errorf("%s comes from elsewhere", e.Name)
		}
		// As the kubelet expands it: no name of ours is in parentheses.
		got[e.Name] = strings.ReplaceAll(e.Value, "$$", "$")
	}
	var command sandboxapi.Command
	if err := json.Unmarshal([]byte(got[sandboxapi.EnvCommand]), &command); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sandboxapi.Command{Argv: s.Spec.Command.Argv, TTY: true, Hold: true}, command); diff != "" {
		t.Error(diff)
	}
	delete(got, sandboxapi.EnvCommand)
	want := map[string]string{
		"OPENSHELL_SANDBOX_ID": testID, "OPENSHELL_SANDBOX": testName, "OPENSHELL_ENDPOINT": "https://gateway:8080",
		"OPENSHELL_SSH_LISTEN_ADDR": ":2222", "OPENSHELL_LOG_LEVEL": "debug", "OPENSHELL_HINT_ADDR": "hints:8082",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
}

// The master secret and what derives from it are in no pod: pitfall 28.
func TestPodHoldsNoSecret(t *testing.T) {
	pod, err := json.Marshal(podOf(t, testConfig(), testSandbox()))
	if err != nil {
		t.Fatal(err)
	}
	r, err := repair(nil, "", testMaster(), testID)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range r.data {
		if len(value) > 2 && strings.Contains(string(pod), string(value)) {
			t.Errorf("the pod holds the %s", name)
		}
	}
	if strings.Contains(string(pod), string(testMaster())) {
		t.Error("the pod holds the master secret")
	}
}

func TestPullPolicy(t *testing.T) {
	for image, want := range map[string]corev1.PullPolicy{
		"openshell.internal/sandbox:1":                  corev1.PullNever,
		sandboxapi.LocalImage + strings.Repeat("a", 64): corev1.PullNever,
		"debian:12": corev1.PullIfNotPresent,
		"registry.example/openshell.internal/sandbox@sha256:abcde": corev1.PullIfNotPresent,
	} {
		if got := pullPolicy(image); got != want {
			t.Errorf("%s: %s, want %s", image, got, want)
		}
	}
}

func TestHostnameIsTheNameWhereItCanBe(t *testing.T) {
	for name, want := range map[string]string{"happy-otter": "happy-otter", "a.b": "", strings.Repeat("a", 64): ""} {
		if got := hostname(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestResources(t *testing.T) {
	list := func(cpu, memory string) corev1.ResourceList {
		l := corev1.ResourceList{}
		if cpu != "" {
			l[corev1.ResourceCPU] = resource.MustParse(cpu)
		}
		if memory != "" {
			l[corev1.ResourceMemory] = resource.MustParse(memory)
		}
		return l
	}
	for _, tt := range []struct {
		name              string
		configured        string
		limits, requests  corev1.ResourceList
		node              string
		wantLim, wantReqs corev1.ResourceList
	}{
		{"small node", "", nil, nil, "2000Mi", list("", "1600Mi"), list("10m", "32Mi")},
		{"large node", "", nil, nil, "64Gi", list("", "4Gi"), list("10m", "32Mi")},
		{"unknown node", "", nil, nil, "", list("", "4Gi"), list("10m", "32Mi")},
		{"configured", "1Gi", nil, nil, "64Gi", list("", "1Gi"), list("10m", "32Mi")},
		{"asked", "", list("2", "8Gi"), nil, "64Gi", list("2", "8Gi"), list("10m", "32Mi")},
		{"less than the default request", "", list("5m", "16Mi"), nil, "64Gi", list("5m", "16Mi"), list("5m", "16Mi")},
		{"request above the default limit", "", nil, list("1", "6Gi"), "64Gi", list("", "6Gi"), list("1", "6Gi")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := testConfig()
			if tt.configured != "" {
				cfg.Memory = resource.MustParse(tt.configured)
			}
			asked := corev1.ResourceRequirements{Limits: tt.limits, Requests: tt.requests}
			got := resources(cfg, asked, list("", tt.node))
			for _, pair := range [][2]corev1.ResourceList{{tt.wantLim, got.Limits}, {tt.wantReqs, got.Requests}} {
				for _, name := range bounded() {
					want, have := pair[0][name], pair[1][name]
					if tolerance := want.Value() / 1e6; have.Value() > want.Value()+tolerance || have.Value() < want.Value()-tolerance {
						t.Errorf("%s: %s, want %s", name, have.String(), want.String())
					}
				}
			}
			if cmp.Equal(tt.limits, got.Limits) && tt.limits != nil && len(tt.limits) < 2 {
				t.Error("what was asked for was changed in place")
			}
		})
	}
}
