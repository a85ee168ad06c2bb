package reconcile

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"openshell.ai/openshell/pkg/k8s"
	"openshell.ai/openshell/pkg/pki"
)

// Verb is how a Secret is written.
type Verb string

// The verbs. Replace is delete and create: the API refuses to update the type
// of a Secret, and the data of an immutable one.
const (
	Create  Verb = "create"
	Update  Verb = "update"
	Replace Verb = "replace"
)

// Plan is what to do about the Secrets. It holds no key material that a
// printed plan would show.
type Plan struct {
	Writes   []Write // in order
	Warnings []string
	Rollout  string // cause of a rollout of the workload; "" for none

	authority authority
	revision  string // of the Secrets after the writes
}

// Write is one Secret to write.
type Write struct {
	Namespace, Name string
	Verb            Verb
	Cause           string // what is wrong with the Secret

	parts parts
}

// parts are the groups of keys to write, a set.
type parts uint8

const (
	partAuthority parts = 1 << iota // tls.crt, tls.key of the CA
	partLeaf                        // tls.crt, tls.key of a leaf
	partRoots                       // ca.crt
	partHandshake                   // secret
)

// kind is one Secret of the gateway.
type kind struct {
	namespace, name string
	types           []string // the first is created, any is updated
	used            bool     // by the workload
	of              func(*Observed) **k8s.Secret
	judge           func(secret *k8s.Secret, a authority, want Want) (cause string, p parts)
}

func kinds() []kind {
	return []kind{
		{k8s.NamespaceSystem, SecretCA, []string{k8s.TypeTLS, k8s.TypeOpaque}, false, func(o *Observed) **k8s.Secret { return &o.CA }, judgeAuthority},
		{k8s.NamespaceServer, SecretServerTLS, []string{k8s.TypeTLS}, true, func(o *Observed) **k8s.Secret { return &o.ServerTLS }, judgeServerTLS},
		{k8s.NamespaceServer, SecretClientCA, []string{k8s.TypeOpaque}, true, func(o *Observed) **k8s.Secret { return &o.ClientCA }, judgeClientCA},
		{k8s.NamespaceServer, SecretClientTLS, []string{k8s.TypeTLS}, true, func(o *Observed) **k8s.Secret { return &o.ClientTLS }, judgeClientTLS},
		{k8s.NamespaceServer, SecretHandshake, []string{k8s.TypeOpaque}, true, func(o *Observed) **k8s.Secret { return &o.Handshake }, judgeHandshake},
	}
}

// Decide says what to do about what was observed. It reads and writes nothing.
// Where a new authority is needed its key is drawn here, so that the leaves
// are judged against the authority that will be.
func Decide(o Observed, want Want) (Plan, error) {
	a, err := decideAuthority(o, want)
	if err != nil {
		return Plan{}, makeError(err)
	}
	p := Plan{authority: a}
	if a.warning != "" {
		p.Warnings = append(p.Warnings, a.warning)
	}
	marks := make(map[string]string)
	var repaired []string
	for _, kind := range kinds() {
		secret := *kind.of(&o)
		if kind.used && secret != nil {
			marks[kind.name] = secret.Annotations[annotationRepaired]
		}
		cause, parts := kind.judge(secret, a, want)
		if parts == 0 {
			continue
		}
		p.Writes = append(p.Writes, Write{kind.namespace, kind.name, verb(kind, secret), cause, parts})
		if kind.used {
			repaired = append(repaired, kind.name)
			marks[kind.name] = mark(want)
		}
	}
	p.revision = revision(marks)
	switch {
	case o.Workload == nil:
	case len(repaired) > 0:
		p.Rollout = "repaired: " + strings.Join(repaired, ", ")
	case o.Workload.SecretsRevision != p.revision:
		p.Rollout = "an earlier repair was not rolled out"
	}
	return p, nil
}

// Lines is the plan as text, one line a step.
func (p Plan) Lines() []string {
	var lines []string
	for _, w := range p.Writes {
		lines = append(lines, fmt.Sprintf("%s secret %s/%s: %s", w.Verb, w.Namespace, w.Name, w.Cause))
	}
	if p.Rollout != "" {
		lines = append(lines, "roll out the workload: "+p.Rollout)
	}
	return lines
}

func verb(k kind, secret *k8s.Secret) Verb {
	switch {
	case secret == nil:
		return Create
	case secret.Immutable || !slices.Contains(k.types, secret.Type):
		return Replace
	}
	return Update
}

func mark(want Want) string { return want.Now.UTC().Format(time.RFC3339Nano) }

// revision names the repairs of a set of Secrets: "" when there were none.
func revision(marks map[string]string) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(marks)) {
		if marks[name] != "" {
			out = append(out, name+"="+marks[name])
		}
	}
	return strings.Join(out, ",")
}

// absent is the cause of creating a Secret.
const absent = "absent"

func judgeAuthority(secret *k8s.Secret, a authority, _ Want) (string, parts) {
	if !a.write {
		return "", 0
	}
	if secret == nil {
		return absent, partAuthority
	}
	return a.cause, partAuthority
}

func judgeServerTLS(secret *k8s.Secret, a authority, want Want) (string, parts) {
	return judgeLeaf(secret, serverWant(a, want), want.Now)
}

func judgeClientCA(secret *k8s.Secret, a authority, _ Want) (string, parts) {
	if secret == nil {
		return absent, partRoots
	}
	return judgeRoots(secret, a)
}

// judgeClientTLS separates the leaf from the ca.crt beside it, so that a wrong
// ca.crt does not cost the leaf.
func judgeClientTLS(secret *k8s.Secret, a authority, want Want) (string, parts) {
	cause, p := judgeLeaf(secret, clientWant(a), want.Now)
	if secret == nil {
		return absent, partLeaf | partRoots
	}
	if rootsCause, rootsPart := judgeRoots(secret, a); rootsPart != 0 {
		cause, p = strings.Trim(cause+"; "+rootsCause, "; "), p|rootsPart
	}
	return cause, p
}

func judgeLeaf(secret *k8s.Secret, want pki.Want, now time.Time) (string, parts) {
	if secret == nil {
		return absent, partLeaf
	}
	problems := pki.Validate(pairOf(secret), want, now)
	if len(problems) == 0 {
		return "", 0
	}
	return describe(problems), partLeaf
}

func judgeRoots(secret *k8s.Secret, a authority) (string, parts) {
	roots := secret.Data[KeyRoots]
	switch {
	case pki.SameCertificates(roots, a.roots):
		return "", 0
	case len(roots) == 0:
		return "ca.crt is missing", partRoots
	}
	return "ca.crt is not the gateway's CA", partRoots
}

func judgeHandshake(secret *k8s.Secret, _ authority, _ Want) (string, parts) {
	if secret == nil {
		return absent, partHandshake
	}
	value, ok := secret.Data[KeyHandshake]
	switch {
	case !ok || len(value) == 0:
		return "key secret is missing", partHandshake
	case len(value) != handshakeDigits || strings.Trim(string(value), "0123456789abcdefABCDEF") != "":
		return fmt.Sprintf("key secret is not %d hex characters", handshakeDigits), partHandshake
	}
	return "", 0
}

func serverWant(a authority, want Want) pki.Want {
	return pki.Want{Roots: a.roots, Usage: pki.Server, SANs: want.SANs}
}

func clientWant(a authority) pki.Want { return pki.Want{Roots: a.roots, Usage: pki.Client} }

func pairOf(secret *k8s.Secret) pki.KeyPair {
	if secret == nil {
		return pki.KeyPair{}
	}
	return pki.KeyPair{Cert: secret.Data[KeyCert], Key: secret.Data[KeyKey]}
}

func describe(problems []pki.Problem) string {
	messages := make([]string, len(problems))
	for i, p := range problems {
		messages[i] = p.Message
	}
	return strings.Join(messages, "; ")
}
