package pki_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"openshell.ai/openshell/pkg/pki"
)

const day = 24 * time.Hour

func ids(problems []pki.Problem) []pki.ProblemID {
	var out []pki.ProblemID
	for _, p := range problems {
		out = append(out, p.ID)
	}
	return out
}

func TestValidate(t *testing.T) {
	ca, other := newCA(t, now), newCA(t, now)
	spec := pki.LeafSpec{CommonName: "openshell", SANs: pki.DefaultServerSANs(nil), Usage: pki.Server}
	good, foreign := issue(t, ca, spec, now), issue(t, other, spec, now)
	with := func(change func(*pki.LeafSpec)) pki.KeyPair {
		s := spec
		change(&s)
		return issue(t, ca, s, now)
	}
	const garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
	tests := []struct {
		name string
		pair pki.KeyPair
		sans []string
		at   time.Time
		want []pki.ProblemID
	}{
		{name: "good", pair: good},
		{name: "good, SANs in another form", pair: good, sans: []string{"LocalHost", "0::1"}},
		{name: "empty", want: []pki.ProblemID{pki.CertMissing, pki.KeyMissing}},
		{name: "no key", pair: pki.KeyPair{Cert: good.Cert}, want: []pki.ProblemID{pki.KeyMissing}},
		{name: "no certificate", pair: pki.KeyPair{Key: good.Key}, want: []pki.ProblemID{pki.CertMissing}},
		{name: "not PEM", pair: pki.KeyPair{Cert: []byte("x"), Key: []byte("y")}, want: []pki.ProblemID{pki.CertUnreadable, pki.KeyUnreadable}},
		{name: "PEM of garbage", pair: pki.KeyPair{Cert: []byte(garbage), Key: good.Key}, want: []pki.ProblemID{pki.CertUnreadable}},
		{name: "key of another", pair: pki.KeyPair{Cert: good.Cert, Key: foreign.Key}, want: []pki.ProblemID{pki.KeyMismatch}},
		{name: "another CA", pair: foreign, want: []pki.ProblemID{pki.Chain}},
		{name: "the CA itself", pair: ca.Pair(), want: []pki.ProblemID{pki.WrongUsage, pki.SANMissing}},
		{name: "client certificate", pair: with(func(s *pki.LeafSpec) { s.Usage = pki.Client }), want: []pki.ProblemID{pki.WrongUsage}},
		{name: "SAN missing", pair: with(func(s *pki.LeafSpec) { s.SANs = s.SANs[:3] }), want: []pki.ProblemID{pki.SANMissing}},
		{name: "61 days left", pair: good, at: now.Add(pki.LeafLifetime - 61*day)},
		{name: "59 days left", pair: good, at: now.Add(pki.LeafLifetime - 59*day), want: []pki.ProblemID{pki.Expiring}},
		{name: "expired", pair: good, at: now.Add(pki.LeafLifetime + time.Second), want: []pki.ProblemID{pki.Expired}},
		{name: "expired, of another CA", pair: foreign, at: now.Add(3 * 365 * day), want: []pki.ProblemID{pki.Chain, pki.Expired}},
		{name: "clock 23 hours behind", pair: good, at: now.Add(-23 * time.Hour)},
		{name: "clock 25 hours behind", pair: good, at: now.Add(-25 * time.Hour), want: []pki.ProblemID{pki.NotYetValid}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.sans == nil {
				test.sans = pki.DefaultServerSANs(nil)
			}
			if test.at.IsZero() {
				test.at = now
			}
			problems := pki.Validate(test.pair, pki.Want{Roots: ca.CertPEM(), Usage: pki.Server, SANs: test.sans}, test.at)
			if diff := cmp.Diff(test.want, ids(problems)); diff != "" {
				t.Error(diff)
			}
			for _, p := range problems {
				if p.Message == "" || strings.HasSuffix(p.Message, ".") {
					t.Errorf("message %q is not a phrase", p.Message)
				}
			}
		})
	}
}

func TestValidateCA(t *testing.T) {
	ca := newCA(t, now)
	leaf := issue(t, ca, pki.LeafSpec{CommonName: "x", Usage: pki.Both}, now)
	tests := []struct {
		name string
		pair pki.KeyPair
		at   time.Time
		want []pki.ProblemID
	}{
		{name: "good", pair: ca.Pair(), at: now},
		{name: "a leaf", pair: leaf, at: now, want: []pki.ProblemID{pki.NotCA}},
		{name: "key lost", pair: pki.KeyPair{Cert: ca.CertPEM()}, at: now, want: []pki.ProblemID{pki.KeyMissing}},
		{name: "59 days left", pair: ca.Pair(), at: now.Add(pki.CALifetime - 59*day), want: []pki.ProblemID{pki.Expiring}},
		{name: "expired", pair: ca.Pair(), at: now.Add(pki.CALifetime + day), want: []pki.ProblemID{pki.Expired}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, ids(pki.ValidateCA(test.pair, test.at))); diff != "" {
				t.Error(diff)
			}
		})
	}
	if got := pki.ValidateRoots(ca.CertPEM(), now); got != nil {
		t.Errorf("roots: %v", got)
	}
	if diff := cmp.Diff([]pki.ProblemID{pki.NotCA}, ids(pki.ValidateRoots(leaf.Cert, now))); diff != "" {
		t.Error(diff)
	}
}

func TestKeysNeverAppearInText(t *testing.T) {
	ca := newCA(t, now)
	broken := pki.KeyPair{Cert: ca.Pair().Key, Key: append([]byte("x"), ca.Pair().Key...)}
	text := fmt.Sprintf("%v %+v %#v %s %v", ca.Pair(), ca.Pair(), ca.Pair(), ca.Pair(), pki.Validate(broken, pki.Want{}, now))
	if _, err := pki.ParseCA(broken); err != nil {
		text += err.Error()
	}
	secret := strings.Split(string(ca.Pair().Key), "\n")[1]
	if strings.Contains(text, secret) {
		t.Errorf("private key in %s", text)
	}
}
