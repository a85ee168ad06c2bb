package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"pgregory.net/rapid"

	"openshell.ai/openshell/pkg/bootstrap/reconcile"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/k8s"
	"openshell.ai/openshell/pkg/pki"
)

func lines(t *testing.T, f *fakeCluster, want reconcile.Want) []string {
	t.Helper()
	observed, err := reconcile.Observe(context.Background(), f)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := reconcile.Decide(observed, want)
	if err != nil {
		t.Fatal(err)
	}
	return plan.Lines()
}

func TestFreshGateway(t *testing.T) {
	f := newFake()
	want := wantAt(now)
	if diff := cmp.Diff([]string{
		"create secret openshell-system/openshell-ca: absent",
		"create secret openshell/openshell-server-tls: absent",
		"create secret openshell/openshell-server-client-ca: absent",
		"create secret openshell/openshell-client-tls: absent",
		"create secret openshell/openshell-ssh-handshake: absent",
	}, lines(t, f, want)); diff != "" {
		t.Error(diff)
	}
	if len(f.ops) > 0 {
		t.Errorf("planning wrote: %v", f.ops)
	}
	result, err := reconcile.Run(context.Background(), f, want)
	if err != nil {
		t.Fatal(err)
	}
	f.check(t, want, result.Bundle)
	if diff := cmp.Diff([]string{
		"create" + writeCA, "create" + writeServer, "create" + writeClientCA, "create" + writeClient, "create" + writeHandshake,
	}, f.ops); diff != "" {
		t.Error(diff)
	}
	if result.RolledOut || len(result.Warnings) > 0 {
		t.Errorf("rolled out %v, warnings %v", result.RolledOut, result.Warnings)
	}
	for _, name := range []string{reconcile.SecretServerTLS, reconcile.SecretClientTLS, reconcile.SecretCA} {
		if got := f.secrets[name].Type; got != k8s.TypeTLS {
			t.Errorf("%s: type %s", name, got)
		}
	}
	if got := f.secrets[reconcile.SecretHandshake].Type; got != k8s.TypeOpaque {
		t.Errorf("handshake: type %s", got)
	}

	// The workload comes up with these Secrets; nothing is left to roll out.
	f.workload = &k8s.Workload{Ready: true}
	if got := lines(t, f, want); got != nil {
		t.Errorf("after the first start: %v", got)
	}
}

// TestThroughKubernetes runs against the real adapter.
func TestThroughKubernetes(t *testing.T) {
	ctx := context.Background()
	client := fake.NewClientset()
	cluster := k8s.NewForClient(client)
	first, err := reconcile.Run(ctx, cluster, wantAt(born))
	if err != nil {
		t.Fatal(err)
	}
	set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: "openshell", Name: "openshell"}}
	if _, err := client.AppsV1().StatefulSets("openshell").Create(ctx, set, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := client.CoreV1().Secrets("openshell").Delete(ctx, reconcile.SecretServerTLS, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	second, err := reconcile.Run(ctx, cluster, wantAt(now, "gw.example.org"))
	if err != nil || !second.RolledOut {
		t.Errorf("rolled out %v, error %v", second.RolledOut, err)
	}
	if diff := cmp.Diff(first.Bundle, second.Bundle); diff != "" {
		t.Error("the host's bundle changed with the server's certificate")
	}
	third, err := reconcile.Run(ctx, cluster, wantAt(now.Add(day), "gw.example.org"))
	if err != nil || third.Changed() {
		t.Errorf("again: changed %v, error %v", third.Changed(), err)
	}
}

func TestTwoGatewaysShareNoSecret(t *testing.T) {
	a, b := newGateway(t), newGateway(t)
	for name, data := range a.snapshot() {
		for key, value := range data {
			if b.snapshot()[name][key] == value {
				t.Errorf("%s: %s is the same in both", name, key)
			}
		}
	}
}

func TestPitfall13ReadErrorIsNotAbsent(t *testing.T) {
	for _, name := range []string{
		reconcile.SecretCA, reconcile.SecretServerTLS, reconcile.SecretClientCA, reconcile.SecretClientTLS, reconcile.SecretHandshake, "workload",
	} {
		t.Run(name, func(t *testing.T) {
			f := newGateway(t)
			f.remove(reconcile.SecretServerTLS, reconcile.SecretHandshake) // something to do, if it could be known
			f.readErr = name
			result, err := reconcile.Run(context.Background(), f, wantAt(now))
			if !fault.HasID(err, fault.ClusterError) || !errors.Is(err, errBroken) {
				t.Errorf("error is %v", err)
			}
			if f.attempts > 0 || result.Changed() {
				t.Errorf("wrote %v", f.ops)
			}
			f.readErr = ""
			if _, err := reconcile.Run(context.Background(), f, wantAt(now)); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

// TestPitfall5InterruptedWrites ends a run at every one of its writes, before
// and after it took effect: the next run converges, loses no CA, and rolls out
// what the interrupted one repaired.
func TestPitfall5InterruptedWrites(t *testing.T) {
	ctx := context.Background()
	scenarios := map[string]func(t *testing.T) *fakeCluster{
		"fresh": func(*testing.T) *fakeCluster { return newFake() },
		"CA of another time": func(t *testing.T) *fakeCluster {
			f := newGateway(t)
			f.setPair(reconcile.SecretCA, authorityAt(t, born).Pair())
			return f
		},
		"all lost": func(t *testing.T) *fakeCluster {
			f := newGateway(t)
			f.remove(reconcile.SecretCA, reconcile.SecretServerTLS, reconcile.SecretClientCA, reconcile.SecretClientTLS, reconcile.SecretHandshake)
			return f
		},
	}
	for name, scenario := range scenarios {
		for write := range 6 {
			for _, tookEffect := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, write %d, took effect %v", name, write, tookEffect), func(t *testing.T) {
					f := scenario(t)
					f.failAt, f.failDone = write, tookEffect
					_, err := reconcile.Run(ctx, f, wantAt(now))
					interrupted := f.attempts > write
					if interrupted && !fault.HasID(err, fault.ClusterError) || !interrupted && err != nil {
						t.Fatalf("interrupted %v, error %v", interrupted, err)
					}
					ca := string(f.secrets[reconcile.SecretCA].Data[reconcile.KeyKey])
					handshake := string(f.secrets[reconcile.SecretHandshake].Data[reconcile.KeyHandshake])
					f.failAt = -1
					later := wantAt(now.Add(day))
					result, err := reconcile.Run(ctx, f, later)
					if err != nil {
						t.Fatal(err)
					}
					f.check(t, later, result.Bundle)
					if ca != "" && ca != string(f.authority(t).Pair().Key) {
						t.Error("the CA was made twice")
					}
					if handshake != "" && handshake != string(f.secrets[reconcile.SecretHandshake].Data[reconcile.KeyHandshake]) {
						t.Error("the handshake secret was made twice")
					}
					if f.workload != nil && f.workload.SecretsRevision == "" {
						t.Error("the repair was never rolled out")
					}
					if got := lines(t, f, later); got != nil {
						t.Errorf("still to do: %v", got)
					}
				})
			}
		}
	}
}

func TestInterruptedRolloutIsMadeUpFor(t *testing.T) {
	f := newGateway(t)
	f.remove(reconcile.SecretHandshake)
	f.failAt = 1 // the rollout
	if _, err := reconcile.Run(context.Background(), f, wantAt(now)); err == nil {
		t.Fatal("the rollout was not made to fail")
	}
	if diff := cmp.Diff([]string{"roll out the workload: an earlier repair was not rolled out"}, lines(t, f, wantAt(now.Add(day)))); diff != "" {
		t.Error(diff)
	}
	result, err := reconcile.Run(context.Background(), f, wantAt(now.Add(day)))
	if err != nil || !result.RolledOut || !result.Changed() {
		t.Errorf("rolled out %v, changed %v, error %v", result.RolledOut, result.Changed(), err)
	}
}

// TestSecretMadeBySomebodyElse: a valid Secret put in place of a repaired one
// is kept, and the workload gets it.
func TestSecretMadeBySomebodyElse(t *testing.T) {
	f := newGateway(t)
	f.remove(reconcile.SecretHandshake)
	if _, err := reconcile.Run(context.Background(), f, wantAt(now)); err != nil {
		t.Fatal(err)
	}
	f.remove(reconcile.SecretHandshake)
	f.put(k8s.Secret{Namespace: k8s.NamespaceServer, Name: reconcile.SecretHandshake, Type: k8s.TypeOpaque, Data: map[string][]byte{"secret": []byte(strings.Repeat("12", 32))}})
	before := f.snapshot()
	result, err := reconcile.Run(context.Background(), f, wantAt(now))
	if err != nil || !result.RolledOut {
		t.Errorf("rolled out %v, error %v", result.RolledOut, err)
	}
	if diff := cmp.Diff(before, f.snapshot()); diff != "" {
		t.Error("a valid Secret was rewritten")
	}
}

func TestNewSANsWantedTwiceRollOutTwice(t *testing.T) {
	f := newGateway(t)
	for i, host := range []string{"a.example.org", "b.example.org"} {
		result, err := reconcile.Run(context.Background(), f, wantAt(now.AddDate(0, 0, i), "a.example.org", host))
		if err != nil || !result.RolledOut {
			t.Errorf("%s: rolled out %v, error %v", host, result.RolledOut, err)
		}
	}
}

func TestConflictIsPlannedAnewOnce(t *testing.T) {
	ctx := context.Background()
	t.Run("another start made everything", func(t *testing.T) {
		f, theirs := newFake(), newGateway(t)
		f.before = func(n int) {
			if n == 0 {
				for _, s := range theirs.secrets {
					f.put(s)
				}
			}
		}
		result, err := reconcile.Run(ctx, f, wantAt(now))
		if err != nil {
			t.Fatal(err)
		}
		if result.Changed() || len(f.ops) > 0 {
			t.Errorf("wrote %v", f.ops)
		}
		f.check(t, wantAt(now), result.Bundle)
		if diff := cmp.Diff(theirs.snapshot(), f.snapshot()); diff != "" {
			t.Error("what the other start made was changed")
		}
	})
	t.Run("touched in between", func(t *testing.T) {
		f := newGateway(t)
		f.set(reconcile.SecretServerTLS, reconcile.KeyCert, []byte("x"))
		f.remove(reconcile.SecretClientCA)
		f.before = func(n int) {
			if n == 0 {
				f.set(reconcile.SecretServerTLS, "note", []byte("theirs"))
			}
		}
		result, err := reconcile.Run(ctx, f, wantAt(now))
		if err != nil {
			t.Fatal(err)
		}
		f.check(t, wantAt(now), result.Bundle)
		if diff := cmp.Diff([]string{"update" + writeServer, "create" + writeClientCA, "rollout"}, f.ops); diff != "" {
			t.Error(diff)
		}
		if got := f.snapshot()[reconcile.SecretServerTLS]["note"]; got != "theirs" {
			t.Errorf("their change is lost: %q", got)
		}
	})
	t.Run("gone in between", func(t *testing.T) {
		f := newGateway(t)
		f.set(reconcile.SecretHandshake, "secret", []byte("x"))
		f.before = func(n int) {
			if n == 0 {
				f.remove(reconcile.SecretHandshake)
			}
		}
		if _, err := reconcile.Run(ctx, f, wantAt(now)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"create" + writeHandshake, "rollout"}, f.ops); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("again and again", func(t *testing.T) {
		f := newGateway(t)
		f.set(reconcile.SecretHandshake, "secret", []byte("x"))
		f.before = func(n int) { f.set(reconcile.SecretHandshake, "note", fmt.Append(nil, n)) }
		_, err := reconcile.Run(ctx, f, wantAt(now))
		if !fault.HasID(err, fault.ClusterError) || !errors.Is(err, k8s.ErrConflict) {
			t.Errorf("error is %v", err)
		}
		if f.attempts != 2 {
			t.Errorf("tried %d times, want 2", f.attempts)
		}
	})
}

func TestWhatCannotBeUpdatedIsReplaced(t *testing.T) {
	const name = reconcile.SecretHandshake
	ops := []string{"delete openshell/" + name, "create openshell/" + name + " [note secret]", "rollout"}
	for test, change := range map[string]func(*k8s.Secret){
		"wrong type": func(s *k8s.Secret) { s.Type = "kubernetes.io/basic-auth" },
		"immutable":  func(s *k8s.Secret) { s.Immutable = true },
	} {
		t.Run(test, func(t *testing.T) {
			f := newGateway(t)
			s := clone(f.secrets[name])
			change(&s)
			s.Data["note"] = []byte("kept")
			f.put(s)
			if got := lines(t, f, wantAt(now)); got != nil {
				t.Errorf("its content is valid, yet: %v", got)
			}
			f.set(name, "secret", []byte("bad"))
			if _, err := reconcile.Run(context.Background(), f, wantAt(now)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(ops, f.ops); diff != "" {
				t.Error(diff)
			}
			got := f.secrets[name]
			if got.Type != k8s.TypeOpaque || got.Immutable || string(got.Data["note"]) != "kept" || got.UID == s.UID {
				t.Errorf("type %s, immutable %v, note %q", got.Type, got.Immutable, got.Data["note"])
			}
		})
	}
}

// TestAnyDamageIsRepairedInOneRun puts any combination of damages together:
// one run makes everything valid again and never touches a valid handshake
// secret or CA.
func TestAnyDamageIsRepairedInOneRun(t *testing.T) {
	base, names := newGateway(t), pki.DefaultServerSANs(nil)
	other := authorityAt(t, born)
	damages := []string{"none", "absent", "empty", "foreign", "expired", "key lost"}
	rapid.Check(t, func(r *rapid.T) {
		f := newFake()
		for _, s := range base.secrets {
			f.put(s)
		}
		f.workload = &k8s.Workload{Ready: true}
		chosen := make(map[string]string)
		for name := range namespaces {
			damage := rapid.SampledFrom(damages).Draw(r, name)
			chosen[name] = damage
			switch damage {
			case "absent":
				f.remove(name)
			case "empty":
				empty(name)(t, f)
			case "foreign":
				f.setPair(name, leaf(t, other, born, pki.Both, names...))
				f.set(name, reconcile.KeyRoots, other.CertPEM())
				f.set(name, "secret", []byte("x"))
			case "expired":
				f.setPair(name, leaf(t, base.authority(t), born.Add(-3*365*day), pki.Both, names...))
			case "key lost":
				f.set(name, reconcile.KeyKey, []byte{})
			}
		}
		want := wantAt(now)
		result, err := reconcile.Run(context.Background(), f, want)
		if err != nil {
			r.Fatal(err)
		}
		f.check(r, want, result.Bundle)
		again, err := reconcile.Run(context.Background(), f, want)
		if err != nil || again.Changed() {
			r.Errorf("a second run: changed %v, error %v", again.Changed(), err)
		}
		if chosen[reconcile.SecretCA] == "none" && !cmp.Equal(base.snapshot()[reconcile.SecretCA], f.snapshot()[reconcile.SecretCA]) {
			r.Error("a valid CA was replaced")
		}
		if d := chosen[reconcile.SecretHandshake]; d != "absent" && d != "empty" && d != "foreign" &&
			base.snapshot()[reconcile.SecretHandshake]["secret"] != f.snapshot()[reconcile.SecretHandshake]["secret"] {
			r.Error("a valid handshake secret was replaced")
		}
	})
}
