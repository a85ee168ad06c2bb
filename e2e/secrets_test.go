//go:build e2e

package e2e

import (
	"encoding/base64"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"openshell.ai/openshell/pkg/nodeapi"
	"openshell.ai/openshell/pkg/pki"
)

const (
	caSecret        = "Secret/openshell-system/openshell-ca"
	serverSecret    = "Secret/openshell/openshell-server-tls"
	clientCASecret  = "Secret/openshell/openshell-server-client-ca"
	clientSecret    = "Secret/openshell/openshell-client-tls"
	handshakeSecret = "Secret/openshell/openshell-ssh-handshake"
	statefulSet     = "StatefulSet/openshell/openshell"
	serverPod       = "Pod/openshell/openshell-0"
)

// data are keys of a Secret. An empty value stands for itself.
type data map[string]string

// damage is what happens to Secrets, and what a start makes of it.
type damage struct {
	name    string
	to      map[string]data     // what is written, by Secret; nil deletes it
	changed map[string][]string // keys that get other values, by Secret; others keep theirs
	rollout bool
	says    string
}

// Only the bad Secret is replaced, by one rollout, and the host's files after
// it.
func TestPitfall12DamagedSecrets(t *testing.T) {
	t.Parallel()
	g := started(t, "secrets")
	objects := g.Objects(t)
	for _, d := range damages(t, authorityOf(t, objects)) {
		if !t.Run(d.name, func(t *testing.T) { objects = testDamage(t, g, d, objects) }) {
			t.FailNow() // what follows would only fail because of it
		}
	}
	t.Run("healthcheck", func(t *testing.T) { testHealthcheck(t, g) })
	t.Run("everything expired", func(t *testing.T) { testDrawer(t, g) })
}

func authorityOf(t *testing.T, objects Objects) *pki.CA {
	t.Helper()
	ca, err := pki.ParseCA(pki.KeyPair{
		Cert: decode(t, objects.Field(caSecret, "data", "tls.crt")), Key: decode(t, objects.Field(caSecret, "data", "tls.key")),
	})
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func decode(t *testing.T, encoded string) []byte {
	t.Helper()
	out, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func damages(t *testing.T, ca *pki.CA) []damage {
	t.Helper()
	issue := func(usage pki.Usage, when time.Time, sans ...string) pki.KeyPair {
		pair, err := ca.Issue(pki.LeafSpec{CommonName: "e2e", Usage: usage, SANs: sans}, when)
		if err != nil {
			t.Fatal(err)
		}
		return pair
	}
	other, err := pki.NewCA(pki.Subject{CommonName: "openshell-ca", Organization: []string{"openshell"}}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pair := func(p pki.KeyPair) data { return data{"tls.crt": string(p.Cert), "tls.key": string(p.Key)} }
	sans := pki.DefaultServerSANs(nil)
	const bad = "-----BEGIN CERTIFICATE-----\nbm90IGEgY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----\n"
	badPair := data{"tls.crt": bad, "tls.key": bad}
	mismatched := func(p pki.KeyPair) data {
		return data{"tls.crt": string(p.Cert), "tls.key": string(other.Pair().Key)}
	}
	now, long := time.Now(), time.Now().Add(-longAgo)

	leaf := []string{"tls.crt", "tls.key"}
	both := append([]string{"ca.crt"}, leaf...)
	var out []damage
	repaired := func(secret, name string, to data, keys []string) {
		_, short, _ := strings.Cut(strings.TrimPrefix(secret, "Secret/"), "/")
		out = append(out, damage{short + " " + name, map[string]data{secret: to}, map[string][]string{secret: keys}, true, ""})
	}
	repaired(serverSecret, "missing", nil, leaf)
	repaired(serverSecret, "empty", data{"tls.crt": "", "tls.key": ""}, leaf)
	repaired(serverSecret, "bad PEM", badPair, leaf)
	repaired(serverSecret, "key mismatch", mismatched(issue(pki.Server, now, sans...)), leaf)
	repaired(serverSecret, "expired", pair(issue(pki.Server, long, sans...)), leaf)
	repaired(serverSecret, "SAN missing", pair(issue(pki.Server, now, sans[1:]...)), leaf)
	repaired(clientSecret, "missing", nil, both)
	repaired(clientSecret, "empty", data{"tls.crt": "", "tls.key": "", "ca.crt": ""}, both)
	repaired(clientSecret, "bad PEM", badPair, leaf)
	repaired(clientSecret, "key mismatch", mismatched(issue(pki.Client, now)), leaf)
	repaired(clientSecret, "expired", pair(issue(pki.Client, long)), leaf)
	repaired(clientCASecret, "missing", nil, []string{"ca.crt"})
	repaired(clientCASecret, "bad PEM", data{"ca.crt": bad}, []string{"ca.crt"})
	repaired(clientCASecret, "of another CA", data{"ca.crt": string(other.CertPEM())}, []string{"ca.crt"})
	repaired(handshakeSecret, "missing", nil, []string{"secret"})
	repaired(handshakeSecret, "empty", data{"secret": ""}, []string{"secret"})
	repaired(handshakeSecret, "no hexadecimal", data{"secret": strings.Repeat("x", 64)}, []string{"secret"})

	// The authority itself is used by nobody: no rollout.
	kept := func(name string, to data, keys []string, says string) {
		out = append(out, damage{"openshell-ca " + name, map[string]data{caSecret: to}, map[string][]string{caSecret: keys}, false, says})
	}
	kept("bad certificate", data{"tls.crt": bad}, []string{"tls.crt"}, "")
	kept("key lost", data{"tls.key": ""}, nil, "the key of the gateway's CA is lost")
	kept("key of another CA", data{"tls.key": string(other.Pair().Key)}, nil, "the key of the gateway's CA is lost")
	kept("missing", nil, nil, "the key of the gateway's CA is lost")

	renewed, err := pki.RenewCA(ca.Pair().Key, pki.Subject{CommonName: "openshell-ca", Organization: []string{"openshell"}}, long)
	if err != nil {
		t.Fatal(err)
	}
	expired := string(renewed.CertPEM())
	return append(out, damage{
		"openshell-ca expired everywhere",
		map[string]data{
			caSecret:       {"tls.crt": expired, "tls.key": string(ca.Pair().Key)},
			clientCASecret: {"ca.crt": expired}, clientSecret: {"ca.crt": expired},
		},
		map[string][]string{caSecret: {"tls.crt"}, clientCASecret: {"ca.crt"}, clientSecret: {"ca.crt"}},
		true, "",
	}, damage{
		"key lost and a leaf expired",
		map[string]data{caSecret: nil, serverSecret: pair(issue(pki.Server, long, sans...))},
		map[string][]string{caSecret: leaf, serverSecret: leaf, clientCASecret: {"ca.crt"}, clientSecret: both},
		true, "",
	})
}

// write puts Secrets into the cluster. The result is objects with what was
// written, as far as the data is concerned.
func (g *Gateway) write(t *testing.T, objects Objects, secrets map[string]data) Objects {
	t.Helper()
	objects = maps.Clone(objects)
	for key, values := range secrets {
		part := strings.Split(key, "/")
		if values == nil {
			g.Kubectl(t, "delete", "secret", "--ignore-not-found", "--namespace", part[1], part[2])
			delete(objects, key)
			continue
		}
		secret := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
			"metadata": map[string]any{"namespace": part[1], "name": part[2]},
		}}
		if objects[key] != nil {
			secret = objects[key].DeepCopy()
			secret.SetResourceVersion("") // an earlier damage may have changed it
		}
		for field, value := range values {
			if err := unstructured.SetNestedField(secret.Object, base64.StdEncoding.EncodeToString([]byte(value)), "data", field); err != nil {
				t.Fatal(err)
			}
		}
		text, err := secret.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		verb := "replace"
		if objects[key] == nil {
			verb = "create"
		}
		g.kubectl(t, string(text), verb, "-f", "-")
		objects[key] = secret
	}
	return objects
}

func testDamage(t *testing.T, g *Gateway, d damage, before Objects) Objects {
	before = g.write(t, before, d.to)
	r := g.CLI(t, "gateway", "start").Exits(t, 0)
	t.Logf("%s: %s", r.Took.Round(time.Millisecond), strings.TrimSpace(r.Stdout))
	after := g.Objects(t)
	if d.says != "" {
		r.Says(t, d.says)
	}
	checkKeys(t, d, before, after)
	checkRest(t, d, before, after)
	g.checkHost(t, after)
	if again := g.CLI(t, "gateway", "start").Exits(t, 0); strings.Contains(again.Stdout, "repaired") {
		t.Errorf("it was not all repaired at once:\n%s", again)
	}
	return after
}

// checkKeys compares the Secrets key by key.
func checkKeys(t *testing.T, d damage, before, after Objects) {
	t.Helper()
	for _, secret := range []string{caSecret, serverSecret, clientCASecret, clientSecret, handshakeSecret} {
		was, is := secretData(t, before, secret), secretData(t, after, secret)
		for key, value := range is {
			want := slices.Contains(d.changed[secret], key)
			if changed := was[key] != value; changed != want {
				t.Errorf("%s of %s: changed is %t, want %t", key, secret, changed, want)
			}
		}
		for _, key := range d.changed[secret] {
			if is[key] == "" {
				t.Errorf("%s of %s is missing", key, secret)
			}
		}
		_, damaged := d.to[secret]
		if !damaged && d.changed[secret] == nil && before.Field(secret, "metadata", "resourceVersion") != after.Field(secret, "metadata", "resourceVersion") {
			t.Errorf("%s was written", secret)
		}
	}
}

func secretData(t *testing.T, objects Objects, secret string) map[string]string {
	t.Helper()
	if objects[secret] == nil {
		return nil
	}
	out, _, err := unstructured.NestedStringMap(objects[secret].Object, "data")
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// checkRest sees to it that nothing but the Secrets was touched, and that the
// server was restarted once or not at all.
func checkRest(t *testing.T, d damage, before, after Objects) {
	t.Helper()
	kinds := []string{"Namespace", "ConfigMap", "ServiceAccount", "Service", "PersistentVolume", "PersistentVolumeClaim"}
	if diff := cmp.Diff(before.Versions(kinds...), after.Versions(kinds...)); diff != "" {
		t.Errorf("other objects were touched (-before +after):\n%s", diff)
	}
	rollouts := int64(0)
	if d.rollout {
		rollouts = 1
	}
	if n := after[statefulSet].GetGeneration() - before[statefulSet].GetGeneration(); n != rollouts {
		t.Errorf("%d rollouts, want %d", n, rollouts)
	}
	if replaced := before[serverPod].GetUID() != after[serverPod].GetUID(); replaced != d.rollout {
		t.Errorf("the server's pod was replaced: %t, want %t", replaced, d.rollout)
	}
}

// checkHost compares the host's copy with the cluster and uses it.
func (g *Gateway) checkHost(t *testing.T, objects Objects) {
	t.Helper()
	for _, file := range []string{"ca.crt", "tls.crt", "tls.key"} {
		have, err := os.ReadFile(g.Bundle(file))
		if err != nil {
			t.Fatal(err)
		}
		if string(have) != string(decode(t, objects.Field(clientSecret, "data", file))) {
			t.Errorf("%s on the host is not that of the cluster", file)
		}
	}
	if certificates := g.Running(t).Certificates; certificates == nil || !certificates.HostCopyMatches {
		t.Errorf("status: certificates %+v", certificates)
	}
}

// The health check sees what the endpoint does not: the server has read the
// Secret long ago.
func testHealthcheck(t *testing.T, g *Gateway) {
	healthcheck := func(code int) Result {
		t.Helper()
		return g.CLI(t, "gateway", "exec", "--", "cluster-healthcheck.sh").Exits(t, code)
	}
	healthcheck(0)
	g.write(t, g.Objects(t), map[string]data{handshakeSecret: nil})
	healthcheck(1).Says(t, "handshake-secret")
	status, _ := g.Status(t)
	if !slices.ContainsFunc(status.Checks, func(c nodeapi.Check) bool { return c.ID == "handshake-secret" && !c.OK }) {
		t.Errorf("status does not tell of the missing handshake secret: %+v", status.Checks)
	}
	// A server that starts without it waits until it is there again.
	g.CLI(t, "gateway", "stop").Exits(t, 0)
	g.Start(t).Says(t, "with repaired secrets")
	healthcheck(0)
}

// After years in a drawer no certificate is valid any more, and none of the
// host's either.
func testDrawer(t *testing.T, g *Gateway) {
	before := g.Objects(t)
	ca := authorityOf(t, before)
	then := time.Now().Add(-longAgo)
	secrets := map[string]data{}
	for secret, spec := range map[string]pki.LeafSpec{
		serverSecret: {CommonName: "openshell-server", Usage: pki.Server, SANs: pki.DefaultServerSANs(nil)},
		clientSecret: {CommonName: "openshell-client", Usage: pki.Client},
	} {
		pair, err := ca.Issue(spec, then)
		if err != nil {
			t.Fatal(err)
		}
		secrets[secret] = data{"tls.crt": string(pair.Cert), "tls.key": string(pair.Key)}
	}
	g.write(t, before, secrets)
	stopped(t, g)
	for file, content := range secrets[clientSecret] {
		if err := os.WriteFile(g.Bundle(file), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	expireNode(t, g)

	g.Start(t)
	after := g.Objects(t)
	for _, secret := range []string{caSecret, clientCASecret, handshakeSecret} {
		if diff := cmp.Diff(before.Field(secret, "data"), after.Field(secret, "data")); diff != "" {
			t.Errorf("%s was changed", secret)
		}
	}
	g.checkHost(t, after)
}
