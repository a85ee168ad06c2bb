// Package reconcile keeps the gateway's Secrets valid: it creates what is
// absent, repairs only what is invalid, never acts on a read error and never
// rewrites a valid Secret. Certificates and the SSH handshake secret go
// through the same mechanism: Observe, Decide (pure), and Run, which executes.
package reconcile

import (
	"context"
	"errors"
	"time"

	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/k8s"
)

// Secrets of a gateway, in the order in which they are written. The authority
// comes first: whatever interruption follows, its key is kept, and the next
// run issues from it.
const (
	SecretCA        = "openshell-ca"               // in openshell-system: tls.crt, tls.key
	SecretServerTLS = "openshell-server-tls"       // tls.crt, tls.key
	SecretClientCA  = "openshell-server-client-ca" // ca.crt
	SecretClientTLS = "openshell-client-tls"       // tls.crt, tls.key, ca.crt
	SecretHandshake = "openshell-ssh-handshake"    // secret: 64 hex characters
)

// Keys within the Secrets.
const (
	KeyCert      = "tls.crt"
	KeyKey       = "tls.key"
	KeyRoots     = "ca.crt"
	KeyHandshake = "secret"
)

// annotationRepaired marks a Secret that was written while the workload
// already ran with an older one: the time of the repair. Run compares these
// marks with the workload's, so that a rollout is made up for by the next run
// when this one is interrupted before it.
const annotationRepaired = "openshell.ai/repaired-at"

// Cluster is what reconciling asks of Kubernetes. *k8s.Cluster is it. Errors
// of the three writes carry k8s.ErrConflict when somebody else was faster.
type Cluster interface {
	Secret(ctx context.Context, namespace, name string) (s k8s.Secret, found bool, err error)
	CreateSecret(ctx context.Context, s k8s.Secret) error
	UpdateSecret(ctx context.Context, s k8s.Secret) error // sets the given keys, keeps others
	DeleteSecret(ctx context.Context, s k8s.Secret) error
	Workload(ctx context.Context) (w k8s.Workload, found bool, err error)
	RolloutRestart(ctx context.Context, revision string) (restarted bool, err error)
}

// Want is what the Secrets have to satisfy.
type Want struct {
	SANs []string // of the server certificate, see pki.DefaultServerSANs
	Now  time.Time
}

// Observed is one snapshot; nil is absent.
type Observed struct {
	CA, ServerTLS, ClientCA, ClientTLS, Handshake *k8s.Secret
	Workload                                      *k8s.Workload
}

// Result is what a run did.
type Result struct {
	Secrets   []SecretResult // every Secret, in the order of writing
	Warnings  []string
	RolledOut bool
	Bundle    Bundle
}

// SecretResult is one Secret.
type SecretResult struct {
	Namespace, Name string
	Changed         bool
	Cause           string // why it was changed
}

// Bundle is what the host needs to talk to the gateway, all PEM.
type Bundle struct{ CA, Cert, Key []byte }

// String keeps the private key out of formatted output.
func (Bundle) String() string { return "mTLS bundle (redacted)" }

// GoString keeps the private key out of %#v.
func (b Bundle) GoString() string { return b.String() }

// Changed reports whether the run changed anything in the cluster.
func (r Result) Changed() bool {
	for _, s := range r.Secrets {
		if s.Changed {
			return true
		}
	}
	return r.RolledOut
}

// Observe reads every Secret and the workload. Any error means that nothing is
// known: it never reads as absent.
func Observe(ctx context.Context, cluster Cluster) (Observed, error) {
	var o Observed
	for _, kind := range kinds() {
		secret, found, err := cluster.Secret(ctx, kind.namespace, kind.name)
		if err != nil {
			return Observed{}, readError(err)
		}
		if found {
			*kind.of(&o) = &secret
		}
	}
	workload, found, err := cluster.Workload(ctx)
	if err != nil {
		return Observed{}, readError(err)
	}
	if found {
		o.Workload = &workload
	}
	return o, nil
}

// Run brings the Secrets to what is wanted, rolls the workload out at most
// once when it existed and one of its Secrets was repaired, and returns the
// host's bundle. When somebody else writes at the same time it reads and
// decides once more.
func Run(ctx context.Context, cluster Cluster, want Want) (Result, error) {
	var done Result
	for attempt := 0; ; attempt++ {
		observed, err := Observe(ctx, cluster)
		if err != nil {
			return done, err
		}
		plan, err := Decide(observed, want)
		if err != nil {
			return done, err
		}
		secrets, err := plan.render(observed, want)
		if err != nil {
			return done, makeError(err)
		}
		err = write(ctx, cluster, plan, secrets, &done)
		if errors.Is(err, k8s.ErrConflict) && attempt == 0 {
			continue
		}
		if err != nil {
			return done, writeError(err)
		}
		done.finish(plan, observed, secrets)
		if plan.Rollout != "" {
			if done.RolledOut, err = cluster.RolloutRestart(ctx, plan.revision); err != nil {
				return done, writeError(err)
			}
		}
		return done, nil
	}
}

// write executes the plan's writes and records each in done.
func write(ctx context.Context, cluster Cluster, plan Plan, secrets []k8s.Secret, done *Result) error {
	for i, w := range plan.Writes {
		s := secrets[i]
		var err error
		switch w.Verb {
		case Create:
			err = cluster.CreateSecret(ctx, s)
		case Update:
			err = cluster.UpdateSecret(ctx, s)
		case Replace:
			if err = cluster.DeleteSecret(ctx, s); err == nil {
				err = cluster.CreateSecret(ctx, s)
			}
		}
		if err != nil {
			return err
		}
		done.Secrets = append(done.Secrets, SecretResult{w.Namespace, w.Name, true, w.Cause})
	}
	return nil
}

// finish completes the result: the Secrets in order, changed or not, and the
// bundle as it now stands in the cluster.
func (r *Result) finish(plan Plan, observed Observed, written []k8s.Secret) {
	causes := make(map[string]string, len(r.Secrets))
	for _, s := range r.Secrets {
		if _, ok := causes[s.Name]; !ok { // of two attempts, the first says what was found
			causes[s.Name] = s.Cause
		}
	}
	r.Secrets = nil
	for _, kind := range kinds() {
		cause, changed := causes[kind.name]
		r.Secrets = append(r.Secrets, SecretResult{kind.namespace, kind.name, changed, cause})
	}
	r.Warnings = plan.Warnings
	value := func(key string) []byte {
		for _, s := range written {
			if v, ok := s.Data[key]; ok && s.Name == SecretClientTLS {
				return v
			}
		}
		if observed.ClientTLS == nil {
			return nil
		}
		return observed.ClientTLS.Data[key]
	}
	r.Bundle = Bundle{CA: value(KeyRoots), Cert: value(KeyCert), Key: value(KeyKey)}
}

func readError(err error) error {
	return fault.New(fault.ClusterError, fault.ExitFailure, "the gateway's Secrets cannot be read").Because(err)
}

func writeError(err error) error {
	if errors.Is(err, k8s.ErrConflict) {
		return fault.New(fault.ClusterError, fault.ExitFailure, "the gateway's Secrets are being changed by somebody else").
			Hint("wait for the other command to end, then run this one again").Because(err)
	}
	return fault.New(fault.ClusterError, fault.ExitFailure, "the gateway's Secrets cannot be written").Because(err)
}

func makeError(err error) error {
	return fault.New(fault.Internal, fault.ExitFailure, "the gateway's certificates cannot be made").Because(err)
}
