package reconcile_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"openshell.ai/openshell/pkg/bootstrap/reconcile"
	"openshell.ai/openshell/pkg/k8s"
	"openshell.ai/openshell/pkg/pki"
)

const garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"

// Operations on the fake, as it logs them.
const (
	writeCA        = " openshell-system/openshell-ca [tls.crt tls.key]"
	writeServer    = " openshell/openshell-server-tls [tls.crt tls.key]"
	writeClientCA  = " openshell/openshell-server-client-ca [ca.crt]"
	writeClient    = " openshell/openshell-client-tls [ca.crt tls.crt tls.key]"
	writeLeaf      = " openshell/openshell-client-tls [tls.crt tls.key]"
	writeRoots     = " openshell/openshell-client-tls [ca.crt]"
	writeHandshake = " openshell/openshell-ssh-handshake [secret]"
)

type repairCase struct {
	name   string
	damage func(t *testing.T, f *fakeCluster)
	at     time.Time // now if zero
	sans   []string
	ops    []string // writes, in order
	causes []string // of the changed Secrets, in order
	warn   bool
}

const keyLost = "the key of the gateway's CA is lost"

func set(name, key, value string) func(*testing.T, *fakeCluster) {
	return func(_ *testing.T, f *fakeCluster) { f.set(name, key, []byte(value)) }
}

func remove(names ...string) func(*testing.T, *fakeCluster) {
	return func(_ *testing.T, f *fakeCluster) { f.remove(names...) }
}

func empty(name string) func(*testing.T, *fakeCluster) {
	return func(_ *testing.T, f *fakeCluster) {
		s := clone(f.secrets[name])
		for key := range s.Data {
			s.Data[key] = []byte{}
		}
		f.put(s)
	}
}

// reissue replaces a leaf by one of the gateway's own CA.
func reissue(name string, at time.Time, usage pki.Usage, sans ...string) func(*testing.T, *fakeCluster) {
	return func(t *testing.T, f *fakeCluster) { f.setPair(name, leaf(t, f.authority(t), at, usage, sans...)) }
}

func foreignKey(name string) func(*testing.T, *fakeCluster) {
	return func(t *testing.T, f *fakeCluster) { f.set(name, reconcile.KeyKey, authorityAt(t, born).Pair().Key) }
}

// foreignLeaf replaces a leaf by one of a CA of another time.
func foreignLeaf(name string, usage pki.Usage, sans ...string) func(*testing.T, *fakeCluster) {
	return func(t *testing.T, f *fakeCluster) {
		f.setPair(name, leaf(t, authorityAt(t, born), born, usage, sans...))
	}
}

func all(damages ...func(*testing.T, *fakeCluster)) func(*testing.T, *fakeCluster) {
	return func(t *testing.T, f *fakeCluster) {
		for _, damage := range damages {
			damage(t, f)
		}
	}
}

func repairCases() []repairCase {
	const (
		ca, server, clientCA, client, handshake = reconcile.SecretCA, reconcile.SecretServerTLS, reconcile.SecretClientCA, reconcile.SecretClientTLS, reconcile.SecretHandshake
		crt, key, roots                         = reconcile.KeyCert, reconcile.KeyKey, reconcile.KeyRoots
		notOurs                                 = "certificate was not issued by the CA at hand"
		missing                                 = "certificate is missing; private key is missing"
		badCert                                 = "certificate: not an X.509 certificate"
		mismatch                                = "private key does not belong to the certificate"
	)
	names := pki.DefaultServerSANs(nil)
	everything := []string{"update" + writeCA, "update" + writeServer, "update" + writeClientCA, "update" + writeClient, "rollout"}
	everyLeaf := []string{notOurs, "ca.crt is not the gateway's CA", notOurs + "; ca.crt is not the gateway's CA"}
	return []repairCase{
		{name: "nothing wrong", damage: all()},
		{name: "extra keys", damage: all(set(ca, "note", "x"), set(server, "note", "x"), set(handshake, "note", "x"))},
		{name: "upper-case handshake", damage: set(handshake, "secret", strings.Repeat("AB", 32))},

		{name: "server absent", damage: remove(server), ops: []string{"create" + writeServer, "rollout"}, causes: []string{"absent"}},
		{name: "server empty", damage: empty(server), ops: []string{"update" + writeServer, "rollout"}, causes: []string{missing}},
		{name: "server with other keys", damage: all(set(server, crt, ""), set(server, key, ""), set(server, "server.pem", "x")), ops: []string{"update" + writeServer, "rollout"}, causes: []string{missing}},
		{name: "server bad PEM", damage: set(server, crt, garbage), ops: []string{"update" + writeServer, "rollout"}, causes: []string{badCert}},
		{name: "server mismatched key", damage: foreignKey(server), ops: []string{"update" + writeServer, "rollout"}, causes: []string{mismatch}},
		{name: "server expired", damage: reissue(server, born.Add(-3*365*day), pki.Server, names...), ops: []string{"update" + writeServer, "rollout"}, causes: []string{"certificate expired on 2025-01-01"}},
		{name: "server 59 days left", damage: reissue(server, now.Add(59*day-pki.LeafLifetime), pki.Server, names...), ops: []string{"update" + writeServer, "rollout"}, causes: []string{"certificate expires in 59 days"}},
		{name: "server 61 days left", damage: reissue(server, now.Add(61*day-pki.LeafLifetime), pki.Server, names...)},
		{name: "server SAN missing", damage: reissue(server, born, pki.Server, names[1:]...), ops: []string{"update" + writeServer, "rollout"}, causes: []string{"certificate lacks openshell"}},
		{name: "server new host wanted", damage: all(), sans: []string{"gw.example.org", "192.0.2.7"}, ops: []string{"update" + writeServer, "rollout"}, causes: []string{"certificate lacks gw.example.org, 192.0.2.7"}},
		{name: "server of another CA", damage: foreignLeaf(server, pki.Server, names...), ops: []string{"update" + writeServer, "rollout"}, causes: []string{notOurs}},
		{name: "server wrong usage", damage: reissue(server, born, pki.Client, names...), ops: []string{"update" + writeServer, "rollout"}, causes: []string{"certificate lacks the usage server authentication"}},

		{name: "client absent", damage: remove(client), ops: []string{"create" + writeClient, "rollout"}, causes: []string{"absent"}},
		{name: "client empty", damage: empty(client), ops: []string{"update" + writeClient, "rollout"}, causes: []string{missing + "; ca.crt is missing"}},
		{name: "client bad PEM", damage: set(client, crt, garbage), ops: []string{"update" + writeLeaf, "rollout"}, causes: []string{badCert}},
		{name: "client mismatched key", damage: foreignKey(client), ops: []string{"update" + writeLeaf, "rollout"}, causes: []string{mismatch}},
		{name: "client expired", damage: reissue(client, born.Add(-3*365*day), pki.Client), ops: []string{"update" + writeLeaf, "rollout"}, causes: []string{"certificate expired on 2025-01-01"}},
		{name: "client 59 days left", damage: reissue(client, now.Add(59*day-pki.LeafLifetime), pki.Client), ops: []string{"update" + writeLeaf, "rollout"}, causes: []string{"certificate expires in 59 days"}},
		{name: "client of another CA", damage: foreignLeaf(client, pki.Client), ops: []string{"update" + writeLeaf, "rollout"}, causes: []string{notOurs}},
		{name: "client wrong usage", damage: reissue(client, born, pki.Server), ops: []string{"update" + writeLeaf, "rollout"}, causes: []string{"certificate lacks the usage client authentication"}},
		{name: "client ca.crt absent", damage: func(_ *testing.T, f *fakeCluster) { f.set(client, roots, nil) }, ops: []string{"update" + writeRoots, "rollout"}, causes: []string{"ca.crt is missing"}},
		{name: "client ca.crt bad PEM", damage: set(client, roots, garbage), ops: []string{"update" + writeRoots, "rollout"}, causes: []string{"ca.crt is not the gateway's CA"}},

		{name: "client CA absent", damage: remove(clientCA), ops: []string{"create" + writeClientCA, "rollout"}, causes: []string{"absent"}},
		{name: "client CA empty", damage: empty(clientCA), ops: []string{"update" + writeClientCA, "rollout"}, causes: []string{"ca.crt is missing"}},
		{name: "client CA under another key", damage: func(_ *testing.T, f *fakeCluster) {
			f.set(clientCA, "root.pem", f.secrets[clientCA].Data[roots])
			f.set(clientCA, roots, nil)
		}, ops: []string{"update" + writeClientCA, "rollout"}, causes: []string{"ca.crt is missing"}},
		{name: "client CA bad PEM", damage: set(clientCA, roots, garbage), ops: []string{"update" + writeClientCA, "rollout"}, causes: []string{"ca.crt is not the gateway's CA"}},
		{name: "client CA of another time", damage: func(t *testing.T, f *fakeCluster) { f.set(clientCA, roots, authorityAt(t, born).CertPEM()) },
			ops: []string{"update" + writeClientCA, "rollout"}, causes: []string{"ca.crt is not the gateway's CA"}},

		{name: "handshake absent", damage: remove(handshake), ops: []string{"create" + writeHandshake, "rollout"}, causes: []string{"absent"}},
		{name: "handshake empty", damage: empty(handshake), ops: []string{"update" + writeHandshake, "rollout"}, causes: []string{"key secret is missing"}},
		{name: "handshake under another key", damage: all(func(_ *testing.T, f *fakeCluster) { f.set(handshake, "secret", nil) }, set(handshake, "token", strings.Repeat("ab", 32))),
			ops: []string{"update" + writeHandshake, "rollout"}, causes: []string{"key secret is missing"}},
		{name: "handshake short", damage: set(handshake, "secret", strings.Repeat("a", 63)), ops: []string{"update" + writeHandshake, "rollout"}, causes: []string{"key secret is not 64 hex characters"}},
		{name: "handshake with a newline", damage: set(handshake, "secret", strings.Repeat("a", 63)+"\n"), ops: []string{"update" + writeHandshake, "rollout"}, causes: []string{"key secret is not 64 hex characters"}},

		{name: "CA certificate bad PEM", damage: set(ca, crt, garbage), ops: []string{"update" + writeCA}, causes: []string{badCert}},
		{name: "CA certificate of another time", damage: func(t *testing.T, f *fakeCluster) { f.set(ca, crt, authorityAt(t, born).CertPEM()) },
			ops: []string{"update" + writeCA}, causes: []string{mismatch}},
		{name: "CA certificate gone everywhere", damage: all(set(ca, crt, garbage), set(clientCA, roots, garbage), set(client, roots, "")),
			ops:    []string{"update" + writeCA, "update" + writeClientCA, "update" + writeRoots, "rollout"},
			causes: []string{badCert, "ca.crt is not the gateway's CA", "ca.crt is missing"}},
		{name: "CA 59 days left", at: born.Add(pki.CALifetime - 59*day), damage: all(
			func(t *testing.T, f *fakeCluster) {
				at := born.Add(pki.CALifetime - 100*day)
				reissue(server, at, pki.Server, names...)(t, f)
				reissue(client, at, pki.Client)(t, f)
			}),
			ops:    []string{"update" + writeCA, "update" + writeClientCA, "update" + writeRoots, "rollout"},
			causes: []string{"certificate expires in 59 days", "ca.crt is not the gateway's CA", "ca.crt is not the gateway's CA"}},
		{name: "everything expired", at: born.Add(20 * 365 * day), damage: all(), ops: everything,
			causes: []string{"certificate expired on 2035-12-30", "certificate expired on 2028-01-01", "ca.crt is not the gateway's CA", "certificate expired on 2028-01-01; ca.crt is not the gateway's CA"}},
		{name: "leaves expired", at: born.Add(3 * 365 * day), damage: all(), ops: []string{"update" + writeServer, "update" + writeLeaf, "rollout"},
			causes: []string{"certificate expired on 2028-01-01", "certificate expired on 2028-01-01"}},
		{name: "CA of another time", damage: func(t *testing.T, f *fakeCluster) { f.setPair(ca, authorityAt(t, born).Pair()) },
			ops: everything[1:], causes: everyLeaf},
		{name: "CA is a leaf", damage: func(t *testing.T, f *fakeCluster) { f.setPair(ca, f.pair(server)) }, warn: true},

		{name: "CA absent", damage: remove(ca), warn: true},
		{name: "CA empty", damage: empty(ca), warn: true},
		{name: "CA key bad PEM", damage: set(ca, key, garbage), warn: true},
		{name: "CA mismatched key", damage: foreignKey(ca), warn: true},
		{name: "CA absent, client CA too", damage: remove(ca, clientCA), warn: true, ops: []string{"create" + writeClientCA, "rollout"}, causes: []string{"absent"}},
		{name: "CA absent, client's ca.crt wrong", damage: all(remove(ca), set(client, roots, garbage)), warn: true, ops: []string{"update" + writeRoots, "rollout"}, causes: []string{"ca.crt is not the gateway's CA"}},
		{name: "CA absent, server certificate bad", damage: all(remove(ca), set(server, crt, garbage)),
			ops:    append([]string{"create" + writeCA}, everything[1:]...),
			causes: []string{"absent", badCert, everyLeaf[1], everyLeaf[2]}},
		{name: "CA key lost, leaves at their end", at: born.Add(pki.LeafLifetime - 59*day), damage: set(ca, key, ""), ops: everything,
			causes: []string{"private key is missing", notOurs + "; certificate expires in 59 days", everyLeaf[1], notOurs + "; certificate expires in 59 days; ca.crt is not the gateway's CA"}},
		{name: "all certificates absent", damage: remove(ca, server, clientCA, client),
			ops:    []string{"create" + writeCA, "create" + writeServer, "create" + writeClientCA, "create" + writeClient, "rollout"},
			causes: []string{"absent", "absent", "absent", "absent"}},
		{name: "no copy of the CA left", damage: all(remove(ca, clientCA), set(client, roots, "")),
			ops:    []string{"create" + writeCA, "update" + writeServer, "create" + writeClientCA, "update" + writeClient, "rollout"},
			causes: []string{"absent", notOurs, "absent", notOurs + "; ca.crt is missing"}},
	}
}

func TestPitfall12OnlyTheBadSecretIsRepaired(t *testing.T) {
	for _, test := range repairCases() {
		t.Run(test.name, func(t *testing.T) {
			ctx := context.Background()
			f := newGateway(t)
			test.damage(t, f)
			if test.at.IsZero() {
				test.at = now
			}
			want, before := wantAt(test.at, test.sans...), f.snapshot()
			observed, err := reconcile.Observe(ctx, f)
			if err != nil {
				t.Fatal(err)
			}
			plan, err := reconcile.Decide(observed, want)
			if err != nil {
				t.Fatal(err)
			}
			result, err := reconcile.Run(ctx, f, want)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.ops, f.ops); diff != "" {
				t.Errorf("writes (-want +got):\n%s", diff)
			}
			var causes []string
			changed := make(map[string]bool)
			for _, s := range result.Secrets {
				if s.Changed {
					causes, changed[s.Name] = append(causes, s.Cause), true
				}
			}
			if diff := cmp.Diff(test.causes, causes); diff != "" {
				t.Errorf("causes (-want +got):\n%s", diff)
			}
			if warned := len(result.Warnings) == 1 && strings.HasPrefix(result.Warnings[0], keyLost); warned != test.warn {
				t.Errorf("warnings: %q", result.Warnings)
			}
			if got, want := len(plan.Writes), len(test.causes); got != want {
				t.Errorf("the dry run announced %d writes, want %d", got, want)
			}
			f.check(t, want, result.Bundle)
			for name, data := range before {
				after := f.snapshot()[name]
				if !changed[name] && !cmp.Equal(data, after) {
					t.Errorf("%s: reported unchanged, but is not", name)
				}
				for _, key := range []string{"note", "token", "server.pem", "root.pem"} {
					if data[key] != after[key] {
						t.Errorf("%s: lost the unknown key %s", name, key)
					}
				}
			}
			if !changed[reconcile.SecretHandshake] && before[reconcile.SecretHandshake]["secret"] != f.snapshot()[reconcile.SecretHandshake]["secret"] {
				t.Error("the handshake secret was rotated")
			}

			again, err := reconcile.Run(ctx, f, want)
			if err != nil {
				t.Fatal(err)
			}
			if again.Changed() || len(f.ops) != len(test.ops) {
				t.Errorf("a second run changed something: %v", f.ops[len(test.ops):])
			}
			assertNoKeys(t, before, fmt.Sprintf("%v %+v %#v %v", result, result, result, plan.Lines()), observed)
			assertNoKeys(t, f.snapshot(), fmt.Sprintf("%v %+v %#v %v %+v", result, again, again, plan.Lines(), plan), observed)
		})
	}
}

// assertNoKeys asserts that neither a private key nor the handshake secret is
// in the text, nor in what an observation prints as.
func assertNoKeys(t *testing.T, secrets map[string]map[string]string, text string, observed reconcile.Observed) {
	t.Helper()
	for _, s := range []*k8s.Secret{observed.CA, observed.ServerTLS, observed.ClientCA, observed.ClientTLS, observed.Handshake} {
		if s != nil {
			text += fmt.Sprintf("%v %+v %#v", s, s, *s)
		}
	}
	for name, data := range secrets {
		for _, key := range []string{reconcile.KeyKey, reconcile.KeyHandshake} {
			for line := range strings.Lines(data[key]) {
				if len(line) > 20 && !strings.HasPrefix(line, "-----") && strings.Contains(text, strings.TrimSpace(line)) {
					t.Errorf("%s: %s is in the text %s", name, key, text)
				}
			}
		}
	}
}
