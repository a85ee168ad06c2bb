package session

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "openshell.ai/openshell/pkg/sandbox/v1"
	"openshell.ai/openshell/pkg/sandboxapi"
)

// Lifetime of a session. A tunnel opened within it may outlast it.
const Lifetime = 24 * time.Hour

// PerSandbox is how many sessions a sandbox has at most. Two calls at once may
// get past it by one.
const PerSandbox = 200

// labelKind tells the Secrets of sessions from those of sandboxes.
const (
	labelKind = "openshell.ai/kind"
	kind      = "ssh-session"
)

// Keys of a session's Secret.
const (
	keyHash    = "token-sha256" // hexadecimal
	keySandbox = "sandbox-id"
	keyExpires = "expires" // RFC 3339
)

// ErrUnknown is the error of a token that does not count: never issued,
// revoked or expired.
var ErrUnknown = errors.New("the token is unknown, revoked or expired")

// ErrTooMany is the error of a sandbox that has its sessions already.
var ErrTooMany = fmt.Errorf("the sandbox has %d sessions already", PerSandbox)

// Store keeps sessions in one namespace.
type Store struct {
	Client    func(context.Context) (client.Client, error) // the API, when it can be had
	Namespace string
	Now       func() time.Time
}

// Create issues a token for a sandbox. It goes with the sandbox.
func (s *Store) Create(ctx context.Context, sandbox *v1.Sandbox) (token string, expires time.Time, err error) {
	c, err := s.Client(ctx)
	if err != nil {
		return "", time.Time{}, err
	}
	if err := s.fits(ctx, c, sandbox.Spec.ID); err != nil {
		return "", time.Time{}, err
	}
	token, expires = newToken(), s.Now().Add(Lifetime).Truncate(time.Second)
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name: Name(token), Namespace: s.Namespace,
			Labels: map[string]string{labelKind: kind, sandboxapi.LabelID: sandbox.Spec.ID},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: v1.GroupVersion().String(), Kind: "Sandbox", Name: sandbox.Name, UID: sandbox.UID,
			}},
		},
		Immutable: new(true),
		Data: map[string][]byte{
			keyHash:    []byte(hash(token)),
			keySandbox: []byte(sandbox.Spec.ID),
			keyExpires: []byte(expires.UTC().Format(time.RFC3339)),
		},
	}
	if err := c.Create(ctx, secret); err != nil {
		return "", time.Time{}, fmt.Errorf("session: %w", err)
	}
	return token, expires, nil
}

// fits counts the sessions of a sandbox that have not expired.
func (s *Store) fits(ctx context.Context, c client.Client, id string) error {
	var secrets corev1.SecretList
	if err := c.List(ctx, &secrets, client.InNamespace(s.Namespace), client.MatchingLabels{labelKind: kind, sandboxapi.LabelID: id}); err != nil {
		return fmt.Errorf("sessions: %w", err)
	}
	open := 0
	for i := range secrets.Items {
		if !expired(&secrets.Items[i], s.Now()) {
			open++
		}
	}
	if open >= PerSandbox {
		return ErrTooMany
	}
	return nil
}

// Name of a token; see the function.
func (s *Store) Name(token string) string { return Name(token) }

// Verify answers the id of the sandbox that a token is for, or ErrUnknown.
func (s *Store) Verify(ctx context.Context, token string) (sandboxID string, err error) {
	if !wellFormed(token) {
		return "", ErrUnknown
	}
	c, err := s.Client(ctx)
	if err != nil {
		return "", err
	}
	var secret corev1.Secret
	err = c.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: Name(token)}, &secret)
	if apierrors.IsNotFound(err) {
		return "", ErrUnknown
	}
	if err != nil {
		return "", fmt.Errorf("session: %w", err)
	}
	same := subtle.ConstantTimeCompare([]byte(hash(token)), secret.Data[keyHash]) == 1
	if !same || secret.Labels[labelKind] != kind || expired(&secret, s.Now()) {
		return "", ErrUnknown
	}
	return string(secret.Data[keySandbox]), nil
}

// Revoke ends a session and reports whether there was one.
func (s *Store) Revoke(ctx context.Context, token string) (bool, error) {
	if _, err := s.Verify(ctx, token); err != nil {
		if errors.Is(err, ErrUnknown) {
			return false, nil
		}
		return false, err
	}
	c, err := s.Client(ctx)
	if err != nil {
		return false, err
	}
	err = c.Delete(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: Name(token)}})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("session: %w", err)
	}
	return true, nil
}

// Sweep removes expired sessions, and those whose expiry cannot be read, which
// never count.
func (s *Store) Sweep(ctx context.Context) error {
	c, err := s.Client(ctx)
	if err != nil {
		return err
	}
	var secrets corev1.SecretList
	if err := c.List(ctx, &secrets, client.InNamespace(s.Namespace), client.MatchingLabels{labelKind: kind}); err != nil {
		return fmt.Errorf("sessions: %w", err)
	}
	for i := range secrets.Items {
		if !expired(&secrets.Items[i], s.Now()) {
			continue
		}
		if err := c.Delete(ctx, &secrets.Items[i]); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("session: %w", err)
		}
	}
	return nil
}

// Times of the sweeper.
const (
	sweepEvery = time.Hour
	sweepAgain = time.Minute // after a failure
)

// Run sweeps now and every hour until ctx is done.
func (s *Store) Run(ctx context.Context, log *slog.Logger) {
	for ctx.Err() == nil {
		pause := sweepEvery
		if err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
			log.Warn("expired sessions are kept for now", "error", err)
			pause = sweepAgain
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

func expired(secret *corev1.Secret, now time.Time) bool {
	expires, err := time.Parse(time.RFC3339, string(secret.Data[keyExpires]))
	return err != nil || !now.Before(expires)
}
