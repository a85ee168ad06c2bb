package session

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	v1 "openshell.ai/openshell/pkg/sandbox/v1"
	"openshell.ai/openshell/pkg/sandboxapi"
)

type clock struct{ now time.Time }

func newStore(t *testing.T, hooks interceptor.Funcs) (*Store, client.Client, *clock) {
	t.Helper()
	scheme := runtime.NewScheme()
	must(t, corev1.AddToScheme(scheme))
	c := fake.NewClientBuilder().WithScheme(scheme).WithInterceptorFuncs(hooks).Build()
	clock := &clock{time.Now()}
	return &Store{
		Client:    func(context.Context) (client.Client, error) { return c, nil },
		Namespace: "boxes", Now: func() time.Time { return clock.now },
	}, c, clock
}

func box(id string) *v1.Sandbox {
	return &v1.Sandbox{ObjectMeta: metav1.ObjectMeta{Name: "name-of-" + id, UID: "uid"}, Spec: v1.SandboxSpec{ID: id}}
}

func TestTokenCountsUntilItIsRevoked(t *testing.T) {
	s, _, _ := newStore(t, interceptor.Funcs{})
	token, expires, err := s.Create(t.Context(), box("a"))
	must(t, err)
	if left := time.Until(expires); left < 23*time.Hour || left > 24*time.Hour {
		t.Errorf("expires in %v, want 24 h", left)
	}
	for range 2 { // a restarted server has nothing but the Secrets
		if id, err := s.Verify(t.Context(), token); id != "a" || err != nil {
			t.Fatalf("Verify() = %q, %v", id, err)
		}
	}
	for _, want := range []bool{true, false} {
		if revoked, err := s.Revoke(t.Context(), token); revoked != want || err != nil {
			t.Errorf("Revoke() = %v, %v, want %v", revoked, err, want)
		}
	}
	if _, err := s.Verify(t.Context(), token); !errors.Is(err, ErrUnknown) {
		t.Errorf("Verify() of a revoked token: %v", err)
	}
}

func TestTokenExpires(t *testing.T) {
	s, c, clock := newStore(t, interceptor.Funcs{})
	old, _, err := s.Create(t.Context(), box("a"))
	must(t, err)
	clock.now = clock.now.Add(Lifetime / 2)
	young, _, err := s.Create(t.Context(), box("a"))
	must(t, err)
	clock.now = clock.now.Add(Lifetime / 2)
	if _, err := s.Verify(t.Context(), old); !errors.Is(err, ErrUnknown) {
		t.Errorf("Verify() of an expired token: %v", err)
	}
	must(t, c.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "a", Namespace: "boxes", Labels: map[string]string{sandboxapi.LabelID: "a"}}}))
	must(t, s.Sweep(t.Context()))
	var left corev1.SecretList
	must(t, c.List(t.Context(), &left))
	var names []string
	for _, secret := range left.Items {
		names = append(names, secret.Name)
	}
	if diff := cmp.Diff([]string{"a", Name(young)}, names); diff != "" {
		t.Errorf("Secrets left by a sweep (-want +got):\n%s", diff)
	}
	if _, err := s.Verify(t.Context(), young); err != nil {
		t.Errorf("Verify() of a token that has not expired: %v", err)
	}
}

func TestSandboxHasSoManySessions(t *testing.T) {
	s, _, clock := newStore(t, interceptor.Funcs{})
	var last string
	for i := range PerSandbox {
		token, _, err := s.Create(t.Context(), box("a"))
		must(t, err)
		last = token
		if i == PerSandbox/2-1 {
			clock.now = clock.now.Add(Lifetime / 2)
		}
	}
	if _, _, err := s.Create(t.Context(), box("a")); !errors.Is(err, ErrTooMany) {
		t.Errorf("one more: %v", err)
	}
	if _, _, err := s.Create(t.Context(), box("b")); err != nil {
		t.Errorf("another sandbox: %v", err)
	}
	_, err := s.Revoke(t.Context(), last)
	must(t, err)
	if _, _, err := s.Create(t.Context(), box("a")); err != nil {
		t.Errorf("after one was revoked: %v", err)
	}
	clock.now = clock.now.Add(Lifetime / 2)
	if _, _, err := s.Create(t.Context(), box("a")); err != nil {
		t.Errorf("after half of them expired: %v", err)
	}
}

func TestTokensThatDoNotCount(t *testing.T) {
	s, c, _ := newStore(t, interceptor.Funcs{})
	token, _, err := s.Create(t.Context(), box("a"))
	must(t, err)
	forged := newToken()
	must(t, c.Create(t.Context(), &corev1.Secret{ // of the right name, for another token
		ObjectMeta: metav1.ObjectMeta{Name: Name(forged), Namespace: "boxes", Labels: map[string]string{labelKind: kind}},
		Data:       map[string][]byte{keyHash: []byte(hash(token)), keySandbox: []byte("a"), keyExpires: []byte("2999-01-01T00:00:00Z")},
	}))
	for name, token := range map[string]string{
		"empty": "", "never issued": newToken(), "cut": token[:42], "longer": token + "A", "another alphabet": strings.Repeat("+", 43),
		"a path": "../../../../../../etc/passwd", "with a line's end": token[:42] + "\n", "same prefix of the hash": forged,
		"trailing bits": token[:42] + "_",
	} {
		if id, err := s.Verify(t.Context(), token); !errors.Is(err, ErrUnknown) || id != "" {
			t.Errorf("%s: Verify() = %q, %v", name, id, err)
		}
		if revoked, err := s.Revoke(t.Context(), token); revoked || err != nil {
			t.Errorf("%s: Revoke() = %v, %v", name, revoked, err)
		}
	}
}

func TestReadErrorIsNotAnUnknownToken(t *testing.T) {
	down := errors.New("connection refused")
	s, _, _ := newStore(t, interceptor.Funcs{Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
		return down
	}})
	token := newToken()
	if _, err := s.Verify(t.Context(), token); errors.Is(err, ErrUnknown) || !errors.Is(err, down) || strings.Contains(err.Error(), token) {
		t.Errorf("Verify() error = %v", err)
	}
	if _, err := s.Revoke(t.Context(), token); !errors.Is(err, down) {
		t.Errorf("Revoke() error = %v", err)
	}
}

func TestOnlyTheHashIsStored(t *testing.T) {
	s, c, _ := newStore(t, interceptor.Funcs{})
	token, _, err := s.Create(t.Context(), box("a"))
	must(t, err)
	var secrets corev1.SecretList
	must(t, c.List(t.Context(), &secrets))
	stored := ""
	for _, secret := range secrets.Items {
		for _, value := range secret.Data {
			stored += string(value) + "\n"
		}
		meta, err := json.Marshal(secret.ObjectMeta)
		must(t, err)
		stored += string(meta)
		if secret.Labels[sandboxapi.LabelID] != "a" || secret.OwnerReferences[0].UID != "uid" {
			t.Errorf("the Secret does not go with its sandbox: %s", meta)
		}
	}
	if strings.Contains(stored, token) || !strings.Contains(stored, hash(token)) {
		t.Errorf("stored is not the hash alone:\n%s", stored)
	}
}

func FuzzVerify(f *testing.F) {
	for _, seed := range []string{"", "x", newToken(), strings.Repeat("A", 43), "../secret", "\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		looked := false
		s := &Store{Namespace: "boxes", Now: time.Now, Client: func(context.Context) (client.Client, error) {
			looked = true
			return nil, errors.New("no API")
		}}
		_, err := s.Verify(t.Context(), token)
		if err == nil || looked && len(token) != 43 {
			t.Errorf("Verify(%q) = %v, asked the API: %v", token, err, looked)
		}
		if name := Name(token); len(name) != len("ssh-session-")+nameDigits {
			t.Errorf("Name(%q) = %q", token, name)
		}
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
