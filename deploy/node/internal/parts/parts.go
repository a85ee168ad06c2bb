// Package parts runs the components of one process beside each other.
package parts

import (
	"context"
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

const (
	maxParts  = 16
	askOften  = 10 * time.Millisecond
	askSeldom = 500 * time.Millisecond // on a host so slow that asking costs it time
)

// Parts are components that live and die together.
type Parts struct {
	ctx    context.Context
	cancel context.CancelFunc
	ended  chan error
	done   []chan struct{}
}

// New returns no parts yet. They end with ctx.
func New(ctx context.Context) *Parts {
	ctx, cancel := context.WithCancel(ctx)
	return &Parts{ctx: ctx, cancel: cancel, ended: make(chan error, maxParts)}
}

// Run starts a component that is to run until its context ends.
func (p *Parts) Run(name string, component func(context.Context) error) {
	done := make(chan struct{})
	p.done = append(p.done, done)
	go func() {
		defer close(done)
		err := component(p.ctx)
		if p.ctx.Err() != nil {
			return
		}
		if err == nil {
			err = errors.New("ended without an error")
		}
		p.ended <- fmt.Errorf("%s: %w", name, err)
	}()
}

// Ended receives the error of a component that ended too early.
func (p *Parts) Ended() <-chan error { return p.ended }

// Stop ends the components and waits for them, but no longer than limit.
func (p *Parts) Stop(limit time.Duration) {
	p.cancel()
	timeout := time.After(limit)
	for _, done := range p.done {
		select {
		case <-done:
		case <-timeout:
			return
		}
	}
}

// WaitReadable waits until the API answers reads, which is earlier than its
// /readyz: that waits for start-up hooks nothing here needs.
func WaitReadable(ctx context.Context, config *rest.Config, ended <-chan error) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	return wait(ctx, ended, func() error {
		_, err := client.CoreV1().Namespaces().List(ctx, metav1.ListOptions{Limit: 1})
		return err
	})
}

// WaitHealthy waits until the API says of itself that it is healthy. The
// controller manager gives it ten seconds for that and then ends, with
// everything in its process; this takes as long as it takes.
func WaitHealthy(ctx context.Context, config *rest.Config) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	return wait(ctx, nil, func() error {
		return client.Discovery().RESTClient().Get().AbsPath("/healthz").Do(ctx).Error()
	})
}

// wait asks until the answer is nil, ctx ends or a component does.
func wait(ctx context.Context, ended <-chan error, ask func() error) error {
	for pause := askOften; ; pause = min(pause*11/10, askSeldom) {
		if ask() == nil {
			return nil
		}
		select {
		case err := <-ended:
			return err
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}
