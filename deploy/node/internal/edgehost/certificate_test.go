package edgehost

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"openshell.ai/openshell/pkg/pki"
)

// vault is a Secret that a test changes.
type vault struct {
	data map[string][]byte
	err  error
}

func (v *vault) Secret(_ context.Context, name string) (map[string][]byte, error) {
	if name != serverSecret {
		return nil, errors.New("another secret")
	}
	return v.data, v.err
}

func leaf(t *testing.T) map[string][]byte {
	t.Helper()
	ca, err := pki.NewCA(pki.Subject{CommonName: "test"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pair, err := ca.Issue(pki.LeafSpec{CommonName: "leaf", SANs: []string{"localhost"}, Usage: pki.Both}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{"tls.crt": pair.Cert, "tls.key": pair.Key}
}

func secureHost(t *testing.T) *Host {
	t.Helper()
	h := newHost(t)
	h.settings.HTTPTLS = true
	mustPrepare(t, h)
	return h
}

func (h *Host) served(t *testing.T) map[string][]byte {
	t.Helper()
	found := map[string][]byte{}
	for _, name := range []string{certFile, keyFile} {
		path := filepath.Join(h.run, name)
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		info, statErr := os.Stat(path)
		if err := errors.Join(err, statErr); err != nil {
			t.Fatal(err)
		}
		if info.Mode() != 0o600 {
			t.Errorf("%s has mode %s", name, info.Mode())
		}
		found[name] = data
	}
	return found
}

func sameFiles(a, b map[string][]byte) bool {
	return maps.EqualFunc(a, b, slices.Equal[[]byte])
}

func TestCertificateIsWrittenForNginx(t *testing.T) {
	h, v := secureHost(t), &vault{data: leaf(t)}
	if err := h.Certificate(t.Context(), v); err != nil {
		t.Fatal(err)
	}
	if !sameFiles(h.served(t), v.data) {
		t.Error("the files are not those of the secret")
	}
	environment := h.environment("an-id")
	for _, want := range []string{"GATEWAY_TLS_CERT=" + filepath.Join(h.run, "tls.crt"), "GATEWAY_TLS_KEY=" + filepath.Join(h.run, "tls.key")} {
		if !slices.Contains(environment, want) {
			t.Errorf("%q lacks %s", environment, want)
		}
	}
	if changed, err := h.updateCertificate(t.Context(), v); changed || err != nil {
		t.Errorf("a second time: changed %t, %v", changed, err)
	}
}

func TestCertificateThatCannotBeHadIsAnErrorAndNeverPlainHTTP(t *testing.T) {
	one, other := leaf(t), leaf(t)
	for name, v := range map[string]*vault{
		"the API does not answer": {err: errors.New("connection refused")},
		"no key":                  {data: map[string][]byte{"tls.crt": one["tls.crt"]}},
		"another's key":           {data: map[string][]byte{"tls.crt": one["tls.crt"], "tls.key": other["tls.key"]}},
	} {
		t.Run(name, func(t *testing.T) {
			h := secureHost(t)
			err := h.Certificate(t.Context(), v)
			if err == nil || strings.Contains(err.Error(), "PRIVATE") {
				t.Errorf("got %v", err)
			}
			if got := h.served(t); len(got) > 0 {
				t.Errorf("there are files: %v", slices.Collect(maps.Keys(got)))
			}
			if !strings.Contains(strings.Join(h.environment("an-id"), "\n"), "GATEWAY_TLS_CERT=") {
				t.Error("nginx would serve plain HTTP")
			}
			v.data, v.err = one, nil
			if err := h.Certificate(t.Context(), v); err != nil || !sameFiles(h.served(t), one) {
				t.Errorf("tried again: %v", err)
			}
		})
	}
}

func TestWithoutTLSNoSecretIsRead(t *testing.T) {
	h := newHost(t)
	mustPrepare(t, h)
	if err := h.Certificate(t.Context(), &vault{err: errors.New("asked")}); err != nil || len(h.served(t)) > 0 {
		t.Errorf("got %v", err)
	}
	h.FollowCertificate(t.Context(), nil) // returns at once
}

func TestChangedCertificateIsFollowed(t *testing.T) {
	h, v := secureHost(t), &vault{data: leaf(t)}
	next := leaf(t)
	synctest.Test(t, func(t *testing.T) {
		reloads := 0
		h.reload = func() { reloads++ }
		if err := h.Certificate(t.Context(), v); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go h.FollowCertificate(ctx, v)
		time.Sleep(5*followEvery + 1)
		if reloads != 0 {
			t.Errorf("%d reloads of what has not changed", reloads)
		}
		v.data, v.err = nil, errors.New("connection refused")
		time.Sleep(2 * followEvery)
		v.data, v.err = next, nil
		time.Sleep(2 * followEvery)
		if reloads != 1 || !sameFiles(h.served(t), next) {
			t.Errorf("%d reloads", reloads)
		}
	})
}
