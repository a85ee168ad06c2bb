package reconcile

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"maps"

	"openshell.ai/openshell/pkg/k8s"
	"openshell.ai/openshell/pkg/pki"
)

const (
	handshakeBytes  = 32
	handshakeDigits = 2 * handshakeBytes
)

// render makes the Secrets of the plan's writes: the keys to write only, or
// everything where the Secret is replaced.
func (p Plan) render(o Observed, want Want) ([]k8s.Secret, error) {
	byName := make(map[string]kind)
	for _, k := range kinds() {
		byName[k.name] = k
	}
	var out []k8s.Secret
	for _, w := range p.Writes {
		k := byName[w.Name]
		data, err := p.data(w, want)
		if err != nil {
			return nil, fmt.Errorf("secret %s/%s: %w", w.Namespace, w.Name, err)
		}
		s := k8s.Secret{Namespace: w.Namespace, Name: w.Name, Type: k.types[0], Data: data}
		if old := *k.of(&o); old != nil {
			s.UID, s.ResourceVersion = old.UID, old.ResourceVersion
			if w.Verb == Replace {
				s.Data = maps.Clone(old.Data)
				maps.Copy(s.Data, data)
				s.Annotations = maps.Clone(old.Annotations)
			}
		}
		if k.used && o.Workload != nil {
			if s.Annotations == nil {
				s.Annotations = make(map[string]string)
			}
			s.Annotations[annotationRepaired] = mark(want)
		}
		out = append(out, s)
	}
	return out, nil
}

func (p Plan) data(w Write, want Want) (map[string][]byte, error) {
	data := make(map[string][]byte)
	if w.parts&partAuthority != 0 {
		pair := p.authority.issuer.Pair()
		data[KeyCert], data[KeyKey] = pair.Cert, pair.Key
	}
	if w.parts&partLeaf != 0 {
		spec := pki.LeafSpec{CommonName: "openshell-client", Organization: []string{"openshell"}, Usage: pki.Client}
		if w.Name == SecretServerTLS {
			spec.CommonName, spec.Usage, spec.SANs = "openshell-server", pki.Server, want.SANs
		}
		pair, err := p.authority.issuer.Issue(spec, want.Now)
		if err != nil {
			return nil, err
		}
		data[KeyCert], data[KeyKey] = pair.Cert, pair.Key
	}
	if w.parts&partRoots != 0 {
		data[KeyRoots] = p.authority.roots
	}
	if w.parts&partHandshake != 0 {
		secret := make([]byte, handshakeBytes)
		rand.Read(secret) // never fails, by its contract
		data[KeyHandshake] = []byte(hex.EncodeToString(secret))
	}
	return data, nil
}
