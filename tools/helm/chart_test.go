package helm_test

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write the golden rendering")

func TestLint(t *testing.T) {
	for _, message := range lint.All(chartDir, nil, "openshell", true).Messages {
		if message.Severity >= support.WarningSev {
			t.Error(message)
		}
	}
}

func TestGoldenRendering(t *testing.T) {
	const golden = "testdata/default.yaml"
	got := render(t, "openshell", nil).text
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("rendering changed; if that is meant, run go test -update (-want +got):\n%s", diff)
	}
}

func TestPitfall28NoSecretInTheChart(t *testing.T) {
	set := render(t, "openshell", nil).StatefulSet
	server := set.Spec.Template.Spec.Containers[0]
	if len(server.Env) != 1 || server.Env[0].Value != "" {
		t.Fatalf("environment = %v, want the handshake secret alone", server.Env)
	}
	want := &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "openshell-ssh-handshake"}, Key: "secret"}
	if diff := cmp.Diff(want, server.Env[0].ValueFrom.SecretKeyRef); diff != "" {
		t.Errorf("%s (-want +got):\n%s", server.Env[0].Name, diff)
	}
	// A value for the secret itself, rather than for its name, is refused.
	_, err := templates("openshell", "openshell", map[string]any{"server": map[string]any{"sshHandshakeSecret": strings.Repeat("0", 64)}})
	if err == nil {
		t.Error("the chart takes a value for the handshake secret")
	}
}

func TestTLSSecretsAreMountedReadOnly(t *testing.T) {
	pod := render(t, "openshell", nil).StatefulSet.Spec.Template.Spec
	got := map[string]string{}
	for _, v := range pod.Volumes {
		if v.Secret == nil {
			continue
		}
		got[v.Secret.SecretName] = mountPath(pod.Containers[0], v.Name)
	}
	want := map[string]string{
		"openshell-server-tls":       "/etc/openshell/tls/server",
		"openshell-server-client-ca": "/etc/openshell/tls/client-ca",
		"openshell-client-tls":       "/etc/openshell/tls/client",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Secrets and where they are mounted (-want +got):\n%s", diff)
	}
}

// mountPath is where a volume is mounted read-only; empty when it is not.
func mountPath(c corev1.Container, volume string) string {
	for _, m := range c.VolumeMounts {
		if m.Name == volume && m.ReadOnly {
			return m.MountPath
		}
	}
	return ""
}

func TestLeastPrivilege(t *testing.T) {
	o := render(t, "openshell", nil)
	pod := o.StatefulSet.Spec.Template.Spec
	c := pod.Containers[0].SecurityContext
	for _, tt := range []struct {
		rule string
		ok   bool
	}{
		{"runs as user 1000, not root", *c.RunAsNonRoot && *c.RunAsUser == 1000},
		{"default seccomp profile", pod.SecurityContext.SeccompProfile.Type == corev1.SeccompProfileTypeRuntimeDefault},
		{"no privilege escalation", !*c.AllowPrivilegeEscalation},
		{"read-only root file system", *c.ReadOnlyRootFilesystem},
		{"no capabilities", cmp.Equal(c.Capabilities.Drop, []corev1.Capability{"ALL"}) && len(c.Capabilities.Add) == 0},
		{"no token of the Kubernetes API that lasts", !*pod.AutomountServiceAccountToken && !*o.ServiceAccount.AutomountServiceAccountToken},
		{"no host namespaces", !pod.HostNetwork && !pod.HostPID && !pod.HostIPC},
		{"binding names the role and the account", o.RoleBinding.RoleRef.Name == o.Role.Name && o.RoleBinding.Subjects[0].Name == o.ServiceAccount.Name},
		{"so does the one of the cluster", o.ClusterRoleBinding.RoleRef.Name == o.ClusterRole.Name && o.ClusterRoleBinding.Subjects[0].Name == o.ServiceAccount.Name},
	} {
		if !tt.ok {
			t.Errorf("does not hold: %s", tt.rule)
		}
	}
}

// The CA's key and the Secrets of the server itself are in other namespaces.
func TestRightsEndAtTheNamespaceOfSandboxes(t *testing.T) {
	o := render(t, "openshell", nil)
	if o.Role.Namespace != "openshell-sandboxes" || o.RoleBinding.Namespace != "openshell-sandboxes" || o.RoleBinding.RoleRef.Kind != "Role" {
		t.Errorf("role in %s, binding in %s to a %s", o.Role.Namespace, o.RoleBinding.Namespace, o.RoleBinding.RoleRef.Kind)
	}
	if s := o.RoleBinding.Subjects; len(s) != 1 || s[0].Namespace != "openshell" {
		t.Errorf("bound to %v", s)
	}
	want := []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"nodes"}, Verbs: []string{"get", "list"}}}
	if diff := cmp.Diff(want, o.ClusterRole.Rules); diff != "" {
		t.Errorf("rights in the whole cluster (-want +got):\n%s", diff)
	}
	for _, rule := range o.Role.Rules {
		for _, what := range slices.Concat(rule.APIGroups, rule.Resources, rule.Verbs) {
			if strings.Contains(what, "*") || what == "pods/exec" || what == "serviceaccounts/token" {
				t.Errorf("rule %v", rule)
			}
		}
	}
}

func TestTokenIsShortLived(t *testing.T) {
	pod := render(t, "openshell", nil).StatefulSet.Spec.Template.Spec
	for _, v := range pod.Volumes {
		if v.Projected == nil {
			continue
		}
		if mountPath(pod.Containers[0], v.Name) != "/var/run/secrets/kubernetes.io/serviceaccount" {
			t.Errorf("%s is mounted at %q", v.Name, mountPath(pod.Containers[0], v.Name))
		}
		files := map[string]bool{}
		for _, source := range v.Projected.Sources {
			switch {
			case source.ServiceAccountToken != nil:
				files[source.ServiceAccountToken.Path] = *source.ServiceAccountToken.ExpirationSeconds <= 3600
			case source.ConfigMap != nil:
				files[source.ConfigMap.Items[0].Path] = source.ConfigMap.Name == "kube-root-ca.crt"
			default:
				files[source.DownwardAPI.Items[0].Path] = true
			}
		}
		if diff := cmp.Diff(map[string]bool{"token": true, "ca.crt": true, "namespace": true}, files); diff != "" {
			t.Errorf("files of the account (-want +got):\n%s", diff)
		}
		return
	}
	t.Error("no token is mounted")
}

func TestNetworkIsOpenForWhatTheServerNeeds(t *testing.T) {
	o := render(t, "openshell", nil)
	type way struct{ port, namespace string }
	peers := func(ports []networkingv1.NetworkPolicyPort, peers []networkingv1.NetworkPolicyPeer) (ways []way) {
		namespace := "any"
		if len(peers) > 0 {
			namespace = peers[0].NamespaceSelector.MatchLabels["kubernetes.io/metadata.name"]
		}
		for _, p := range ports {
			ways = append(ways, way{p.Port.String(), namespace})
		}
		return ways
	}
	var in, out []way
	for _, r := range o.NetworkPolicy.Spec.Ingress {
		in = append(in, peers(r.Ports, r.From)...)
	}
	for _, r := range o.NetworkPolicy.Spec.Egress {
		out = append(out, peers(r.Ports, r.To)...)
	}
	if diff := cmp.Diff([]way{{"gateway", "any"}, {"hints", "openshell-sandboxes"}}, in, cmp.AllowUnexported(way{})); diff != "" {
		t.Errorf("ways in (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]way{{"2222", "openshell-sandboxes"}, {"443", "any"}, {"6443", "any"}}, out, cmp.AllowUnexported(way{})); diff != "" {
		t.Errorf("ways out (-want +got):\n%s", diff)
	}
	if len(o.NetworkPolicy.Spec.PolicyTypes) != 2 {
		t.Errorf("policy for %v", o.NetworkPolicy.Spec.PolicyTypes)
	}
}

// The chart must never delete the namespace of workspaces, and so does not own it.
func TestNamespaceOfSandboxesStays(t *testing.T) {
	if text := render(t, "openshell", nil).text; strings.Contains(text, "kind: Namespace\n") {
		t.Error("the chart holds a Namespace by default")
	}
	text, err := templates("openshell", "openshell", parse(t, "sandboxes: {createNamespace: true}"))
	if err != nil || !strings.Contains(text, "name: openshell-sandboxes\n") || !strings.Contains(text, "helm.sh/resource-policy: keep") {
		t.Errorf("with createNamespace (%v):\n%s", err, text)
	}
}

func TestDefinitionsAreInTheChart(t *testing.T) {
	chart, err := loader.Load(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, crd := range chart.CRDObjects() {
		_, name, _ := strings.Cut(string(crd.File.Data), "  name: ")
		name, _, _ = strings.Cut(name, "\n")
		names = append(names, name)
	}
	slices.Sort(names)
	if diff := cmp.Diff([]string{"routes.openshell.ai", "sandboxes.openshell.ai"}, names); diff != "" {
		t.Errorf("definitions (-want +got):\n%s", diff)
	}
}

func TestServiceReachesTheServer(t *testing.T) {
	o := render(t, "openshell", nil)
	port := o.Service.Spec.Ports[0]
	if o.Service.Spec.Type != corev1.ServiceTypeNodePort || port.Port != 8080 || port.NodePort != 30051 || !o.Service.Spec.PublishNotReadyAddresses {
		t.Errorf("service = %+v", o.Service.Spec)
	}
	for key, value := range o.Service.Spec.Selector {
		if o.StatefulSet.Spec.Template.Labels[key] != value || o.Hints.Spec.Selector[key] != value {
			t.Errorf("selector %s=%s matches no pod of the StatefulSet", key, value)
		}
	}
	if hints := o.Hints.Spec; hints.Type != "" || hints.Ports[0].Port != 8082 || hints.Ports[0].NodePort != 0 {
		t.Errorf("service of hints = %+v", hints)
	}
	if name := o.StatefulSet.Name; name != "openshell" || o.Service.Name != name {
		t.Errorf("StatefulSet %q and Service %q, want openshell for both", name, o.Service.Name)
	}
}

func TestStatefulSetNameLeavesRoomForItsHash(t *testing.T) {
	for _, release := range []string{"openshell", strings.Repeat("a", 53), strings.Repeat("a", 51) + "-b"} {
		name := render(t, release, nil).StatefulSet.Name
		if len(name) > 52 || strings.HasSuffix(name, "-") {
			t.Errorf("release %q: StatefulSet %q", release, name)
		}
	}
}

func TestValues(t *testing.T) {
	for _, tt := range []struct {
		name   string
		values string
		want   string // in the rendering
	}{
		{"image", "image: {repository: r, tag: t, pullPolicy: Never}", `image: "r:t"`},
		{"pull policy", "image: {pullPolicy: Never}", "imagePullPolicy: Never"},
		{"handshake", "server: {sshHandshakeSecretName: other}", "name: other"},
		{"server certificate", "server: {tls: {certSecretName: other}}", "secretName: other"},
		{"client CA", "server: {tls: {clientCaSecretName: other}}", "secretName: other"},
		{"client certificate", "server: {tls: {clientTlsSecretName: other}}", "secretName: other"},
		{"plain", "server: {disableTls: true}", "- --disable-tls"},
		{"no client certificates", "server: {disableGatewayAuth: true}", "- --disable-gateway-auth"},
		{"host alias", "server: {hostGatewayIP: 172.17.0.1}", `ip: "172.17.0.1"`},
		{"SSH host", "server: {sshGatewayHost: gw}", "--ssh-gateway-host=gw"},
		{"SSH port", "server: {sshGatewayPort: 9000}", "--ssh-gateway-port=9000"},
		{"sandbox image", "server: {sandboxImage: 'base:1'}", "--sandbox-image=base:1"},
		{"endpoint", "server: {grpcEndpoint: 'https://gw:8080'}", "--grpc-endpoint=https://gw:8080"},
		{"default endpoint", "{}", "--grpc-endpoint=https://openshell.openshell.svc:8080"},
		{"default endpoint in plain", "server: {disableTls: true}", "--grpc-endpoint=http://openshell.openshell.svc:8080"},
		{"supervisor of the node", "{}", "--supervisor-source=hostPath:/opt/openshell/bin"},
		{"supervisor of the server", "{image: {repository: r, tag: t}, server: {supervisor: {source: image}}}", "--supervisor-source=image:r:t"},
		{"supervisor of an image", "server: {supervisor: {source: 'image:x/y'}}", "--supervisor-source=image:x/y"},
		{"memory", "sandboxes: {memory: 2Gi}", "--sandbox-memory=2Gi"},
		{"storage", "sandboxes: {storageClass: fast, storageSize: 5Gi}", "--storage-class=fast"},
		{"size of storage", "sandboxes: {storageSize: 5Gi}", "--storage-size=5Gi"},
		{"hints", "{}", "--hint-address=openshell-hints.openshell.svc:8082"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := render(t, "openshell", parse(t, tt.values)).text; !strings.Contains(got, tt.want) {
				t.Errorf("rendering lacks %q:\n%s", tt.want, got)
			}
		})
	}
}

func TestBadValuesNameTheField(t *testing.T) {
	for _, tt := range []struct{ values, want string }{
		{"image: {pullPolicy: Sometimes}", "/image/pullPolicy"},
		{"image: {tag: 'a b'}", "/image/tag"},
		{"server: {disableTls: 'yes'}", "/server/disableTls"},
		{"server: {sshGatewayPort: 65536}", "/server/sshGatewayPort"},
		{"server: {sshHandshakeSecretName: ''}", "/server/sshHandshakeSecretName"},
		{"server: {tls: {certSecretName: Upper}}", "/server/tls/certSecretName"},
		{"server: {hostGatewayIP: gateway}", "/server/hostGatewayIP"},
		{"server: {grpcEndpoint: 'gw:8080'}", "/server/grpcEndpoint"},
		{"server: {supervisor: {source: bin}}", "/server/supervisor/source"},
		{"sandboxes: {memory: much}", "/sandboxes/memory"},
		{"sandboxes: {storageSize: 0}", "/sandboxes/storageSize"},
		{"server: {unknown: 1}", "unknown"},
		{"unknown: 1", "unknown"},
	} {
		_, err := templates("openshell", "openshell", parse(t, tt.values))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error = %v, want one with %q", tt.values, err, tt.want)
		}
	}
}

func TestHelmChartManifestRendersAsDeployed(t *testing.T) {
	data, err := os.ReadFile(manifestPath)
	if err != nil {
		t.Fatal(err)
	}
	var manifest struct {
		APIVersion string            `json:"apiVersion"`
		Kind       string            `json:"kind"`
		Metadata   map[string]string `json:"metadata"`
		Spec       struct {
			Chart           string `json:"chart"`
			TargetNamespace string `json:"targetNamespace"`
			ValuesContent   string `json:"valuesContent"`
		} `json:"spec"`
	}
	if err := yaml.UnmarshalStrict(data, &manifest); err != nil {
		t.Fatal(err)
	}
	if manifest.APIVersion != "helm.cattle.io/v1" || manifest.Kind != "HelmChart" || manifest.Spec.TargetNamespace != "openshell" {
		t.Errorf("manifest = %+v", manifest)
	}
	o := render(t, manifest.Metadata["name"], parse(t, manifest.Spec.ValuesContent))
	if o.StatefulSet.Name != "openshell" || o.StatefulSet.Spec.Template.Spec.Containers[0].ImagePullPolicy != corev1.PullNever {
		t.Errorf("StatefulSet %q with pull policy %s", o.StatefulSet.Name, o.StatefulSet.Spec.Template.Spec.Containers[0].ImagePullPolicy)
	}
}

func parse(t *testing.T, text string) map[string]any {
	t.Helper()
	values := map[string]any{}
	if err := yaml.UnmarshalStrict([]byte(text), &values); err != nil {
		t.Fatal(err)
	}
	return values
}
