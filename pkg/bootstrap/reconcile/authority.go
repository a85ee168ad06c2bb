package reconcile

import (
	"slices"

	"openshell.ai/openshell/pkg/k8s"
	"openshell.ai/openshell/pkg/pki"
)

// authority is the CA everything is judged against.
type authority struct {
	roots   []byte  // its certificate: what ca.crt has to hold
	issuer  *pki.CA // nil when its key is lost and nothing has to be issued
	write   bool    // openshell-ca has to be written
	cause   string  // why
	warning string
}

// caSubject never changes: a certificate renewed from the key alone has to
// have the subject that the leaves name as their issuer.
func caSubject() pki.Subject {
	return pki.Subject{CommonName: "openshell-ca", Organization: []string{"openshell"}}
}

// decideAuthority finds the authority that costs least: the one at hand; its
// certificate rebuilt from its key; its certificates kept when the key is lost
// but all still verify; and only then a new one.
func decideAuthority(o Observed, want Want) (authority, error) {
	pair := pairOf(o.CA)
	problems := pki.ValidateCA(pair, want.Now)
	if len(problems) == 0 {
		return fromPair(pair, "")
	}
	cause := describe(problems)
	keyUsable := !slices.ContainsFunc(problems, func(p pki.Problem) bool {
		return p.ID == pki.KeyMissing || p.ID == pki.KeyUnreadable
	})
	if keyUsable {
		for _, roots := range certificates(o) {
			copied := pki.KeyPair{Cert: roots, Key: pair.Key}
			if len(pki.ValidateCA(copied, want.Now)) == 0 {
				return fromPair(copied, cause)
			}
		}
	}
	ours := keyUsable && (pki.Signed(pair.Key, pairOf(o.ServerTLS).Cert) || pki.Signed(pair.Key, pairOf(o.ClientTLS).Cert))
	if !ours {
		if a, ok := withoutKey(o, want); ok {
			return a, nil
		}
	}
	var ca *pki.CA
	var err error
	if keyUsable {
		ca, err = pki.RenewCA(pair.Key, caSubject(), want.Now)
	} else {
		ca, err = pki.NewCA(caSubject(), want.Now)
	}
	if err != nil {
		return authority{}, err
	}
	return authority{roots: ca.CertPEM(), issuer: ca, write: true, cause: cause}, nil
}

// fromPair is an authority that can issue; a cause says why it has to be
// written.
func fromPair(pair pki.KeyPair, cause string) (authority, error) {
	ca, err := pki.ParseCA(pair)
	if err != nil {
		return authority{}, err
	}
	return authority{roots: pair.Cert, issuer: ca, write: cause != "", cause: cause}, nil
}

// withoutKey is an authority whose key is lost, provided that no leaf needs
// issuing.
func withoutKey(o Observed, want Want) (authority, bool) {
	for _, roots := range certificates(o) {
		a := authority{roots: roots}
		if len(pki.ValidateRoots(roots, want.Now)) > 0 ||
			len(pki.Validate(pairOf(o.ServerTLS), serverWant(a, want), want.Now)) > 0 ||
			len(pki.Validate(pairOf(o.ClientTLS), clientWant(a), want.Now)) > 0 {
			continue
		}
		a.warning = "the key of the gateway's CA is lost; its certificates still verify and are kept, but the next one that has to be issued brings a new CA"
		return a, true
	}
	return authority{}, false
}

// certificates are the copies of the CA's certificate, the server's first.
func certificates(o Observed) [][]byte {
	var out [][]byte
	add := func(secret *k8s.Secret, key string) {
		if secret != nil && len(secret.Data[key]) > 0 {
			out = append(out, secret.Data[key])
		}
	}
	add(o.ClientCA, KeyRoots)
	add(o.ClientTLS, KeyRoots)
	add(o.CA, KeyCert)
	return out
}
