package reconcile_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"openshell.ai/openshell/pkg/bootstrap/reconcile"
	"openshell.ai/openshell/pkg/k8s"
	"openshell.ai/openshell/pkg/pki"
)

const day = 24 * time.Hour

var (
	born = time.Date(2026, 1, 1, 9, 0, 0, 0, time.UTC)
	now  = born.Add(30 * day)

	errBroken = errors.New("the API is broken")
)

var namespaces = map[string]string{
	reconcile.SecretCA:        k8s.NamespaceSystem,
	reconcile.SecretServerTLS: k8s.NamespaceServer,
	reconcile.SecretClientCA:  k8s.NamespaceServer,
	reconcile.SecretClientTLS: k8s.NamespaceServer,
	reconcile.SecretHandshake: k8s.NamespaceServer,
}

func wantAt(at time.Time, extra ...string) reconcile.Want {
	return reconcile.Want{SANs: pki.DefaultServerSANs(extra), Now: at}
}

// fakeCluster behaves as the API does: preconditions, immutable Secrets, the
// keys that a TLS Secret has to have.
type fakeCluster struct {
	secrets  map[string]k8s.Secret // by name
	workload *k8s.Workload
	version  int
	ops      []string // writes that took effect

	readErr  string      // name of the Secret, or "workload", whose reading fails
	before   func(n int) // runs before the n-th write, counted from 0
	failAt   int         // the write that fails, counted from 0; -1 for none
	failDone bool        // it fails after having taken effect
	attempts int
}

func newFake() *fakeCluster { return &fakeCluster{secrets: map[string]k8s.Secret{}, failAt: -1} }

// newGateway is a cluster after its first start, at born.
func newGateway(t testing.TB) *fakeCluster {
	t.Helper()
	f := newFake()
	if _, err := reconcile.Run(context.Background(), f, wantAt(born)); err != nil {
		t.Fatal(err)
	}
	f.workload = &k8s.Workload{Ready: true}
	f.ops, f.attempts = nil, 0
	return f
}

func (f *fakeCluster) Secret(_ context.Context, namespace, name string) (k8s.Secret, bool, error) {
	if f.readErr == name {
		return k8s.Secret{}, false, errBroken
	}
	s, ok := f.secrets[name]
	if ok && s.Namespace != namespace {
		return k8s.Secret{}, false, fmt.Errorf("%s read from namespace %s", name, namespace)
	}
	return clone(s), ok, nil
}

func (f *fakeCluster) CreateSecret(_ context.Context, s k8s.Secret) error {
	return f.write("create", s, func() error {
		if _, ok := f.secrets[s.Name]; ok {
			return k8s.ErrConflict
		}
		s.UID = ""
		f.put(s)
		return nil
	})
}

func (f *fakeCluster) UpdateSecret(_ context.Context, s k8s.Secret) error {
	return f.write("update", s, func() error {
		old, ok := f.secrets[s.Name]
		if !ok || old.ResourceVersion != s.ResourceVersion {
			return k8s.ErrConflict
		}
		if old.Immutable {
			return errors.New("immutable")
		}
		merged := clone(old)
		maps.Copy(merged.Data, s.Data)
		maps.Copy(merged.Annotations, s.Annotations)
		f.put(merged)
		return nil
	})
}

func (f *fakeCluster) DeleteSecret(_ context.Context, s k8s.Secret) error {
	return f.write("delete", s, func() error {
		if old, ok := f.secrets[s.Name]; !ok || old.ResourceVersion != s.ResourceVersion {
			return k8s.ErrConflict
		}
		delete(f.secrets, s.Name)
		return nil
	})
}

func (f *fakeCluster) Workload(context.Context) (k8s.Workload, bool, error) {
	if f.readErr == "workload" {
		return k8s.Workload{}, false, errBroken
	}
	if f.workload == nil {
		return k8s.Workload{}, false, nil
	}
	return *f.workload, true, nil
}

func (f *fakeCluster) RolloutRestart(_ context.Context, revision string) (bool, error) {
	if f.workload == nil || f.workload.SecretsRevision == revision {
		return false, nil
	}
	err := f.write("rollout", k8s.Secret{}, func() error {
		f.workload.SecretsRevision = revision
		return nil
	})
	return err == nil, err
}

func (f *fakeCluster) write(verb string, s k8s.Secret, do func() error) error {
	n := f.attempts
	f.attempts++
	if f.before != nil {
		f.before(n)
	}
	if n == f.failAt && !f.failDone {
		return errBroken
	}
	if err := do(); err != nil {
		return err
	}
	op := verb
	if s.Name != "" {
		op += " " + s.Namespace + "/" + s.Name
	}
	if verb != "delete" && len(s.Data) > 0 {
		op += " [" + strings.Join(slices.Sorted(maps.Keys(s.Data)), " ") + "]"
	}
	f.ops = append(f.ops, op)
	if n == f.failAt {
		return errBroken
	}
	return nil
}

// put stores a Secret as a new version.
func (f *fakeCluster) put(s k8s.Secret) {
	f.version++
	s = clone(s)
	s.ResourceVersion = strconv.Itoa(f.version)
	if s.UID == "" {
		s.UID = "uid-" + s.ResourceVersion
	}
	f.secrets[s.Name] = s
}

// set changes one key behind the reconciler's back; nil removes it.
func (f *fakeCluster) set(name, key string, value []byte) {
	s := clone(f.secrets[name])
	if value == nil {
		delete(s.Data, key)
	} else {
		s.Data[key] = value
	}
	f.put(s)
}

func (f *fakeCluster) setPair(name string, pair pki.KeyPair) {
	f.set(name, reconcile.KeyCert, pair.Cert)
	f.set(name, reconcile.KeyKey, pair.Key)
}

func (f *fakeCluster) remove(names ...string) {
	for _, name := range names {
		delete(f.secrets, name)
	}
}

func (f *fakeCluster) pair(name string) pki.KeyPair {
	data := f.secrets[name].Data
	return pki.KeyPair{Cert: data[reconcile.KeyCert], Key: data[reconcile.KeyKey]}
}

// authority is the gateway's own CA.
func (f *fakeCluster) authority(t testing.TB) *pki.CA {
	t.Helper()
	ca, err := pki.ParseCA(f.pair(reconcile.SecretCA))
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// snapshot is the data of every Secret.
func (f *fakeCluster) snapshot() map[string]map[string]string {
	out := make(map[string]map[string]string)
	for name, s := range f.secrets {
		out[name] = make(map[string]string)
		for key, value := range s.Data {
			out[name][key] = string(value)
		}
	}
	return out
}

// reporter is what *testing.T and *rapid.T share.
type reporter interface {
	Helper()
	Error(args ...any)
	Errorf(format string, args ...any)
}

// check asserts that the Secrets work together.
func (f *fakeCluster) check(t reporter, want reconcile.Want, bundle reconcile.Bundle) {
	t.Helper()
	roots := f.secrets[reconcile.SecretClientCA].Data[reconcile.KeyRoots]
	if problems := pki.Validate(f.pair(reconcile.SecretServerTLS), pki.Want{Roots: roots, Usage: pki.Server, SANs: want.SANs}, want.Now); problems != nil {
		t.Errorf("server certificate: %v", problems)
	}
	if problems := pki.Validate(f.pair(reconcile.SecretClientTLS), pki.Want{Roots: roots, Usage: pki.Client}, want.Now); problems != nil {
		t.Errorf("client certificate: %v", problems)
	}
	if !pki.SameCertificates(roots, f.secrets[reconcile.SecretClientTLS].Data[reconcile.KeyRoots]) {
		t.Error("server and client trust different CAs")
	}
	if value := f.secrets[reconcile.SecretHandshake].Data[reconcile.KeyHandshake]; len(value) != 64 {
		t.Errorf("handshake secret has %d characters", len(value))
	}
	client := f.secrets[reconcile.SecretClientTLS].Data
	if !bytes.Equal(bundle.CA, client[reconcile.KeyRoots]) || !bytes.Equal(bundle.Cert, client[reconcile.KeyCert]) || !bytes.Equal(bundle.Key, client[reconcile.KeyKey]) {
		t.Error("the host's bundle is not what the cluster holds")
	}
	for _, s := range f.secrets {
		if s.Type == k8s.TypeTLS && (s.Data[reconcile.KeyCert] == nil || s.Data[reconcile.KeyKey] == nil) {
			t.Errorf("%s: the API would refuse a TLS Secret without both keys", s.Name)
		}
	}
}

func clone(s k8s.Secret) k8s.Secret {
	s.Data, s.Annotations = maps.Clone(s.Data), maps.Clone(s.Annotations)
	if s.Data == nil {
		s.Data = map[string][]byte{}
	}
	if s.Annotations == nil {
		s.Annotations = map[string]string{}
	}
	return s
}

func authorityAt(t testing.TB, at time.Time) *pki.CA {
	t.Helper()
	ca, err := pki.NewCA(pki.Subject{CommonName: "openshell-ca", Organization: []string{"openshell"}}, at)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func leaf(t testing.TB, ca *pki.CA, at time.Time, usage pki.Usage, sans ...string) pki.KeyPair {
	t.Helper()
	pair, err := ca.Issue(pki.LeafSpec{CommonName: "leaf", Usage: usage, SANs: sans}, at)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}
