package bootstrap

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/fault"
)

var errSilent = fmt.Errorf("kubernetes nodes: %w: %w", ErrNoAnswer, io.EOF)

func TestPitfall16AnAPIThatFallsSilentIsAskedAgain(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.clusterErr = errSilent
		time.AfterFunc(90*time.Second, func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.clusterErr = nil
		})
		r.mustStart(StartOptions{})
		said := 0
		for _, e := range r.events {
			if strings.Contains(e.Message, "trying again") {
				said++
			}
		}
		if said != 1 {
			t.Errorf("said %d times that it tries again, not once", said)
		}
	})
}

func TestPitfall16SilenceEndsWithTheWait(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.clusterErr = errSilent
		r.mustFail(StartOptions{}, fault.IdleTimeout)
		if c, ok := r.container(); !ok || c.State != docker.StateRunning {
			t.Errorf("container is %s, not left running", c.State)
		}
	})
}

func TestSilenceOfARunningGatewayIsReported(t *testing.T) {
	inTime(t, func(t *testing.T, r *rig) {
		r.mustStart(StartOptions{})
		r.clusterErr = errSilent
		began := time.Now()
		r.mustFail(StartOptions{}, fault.ClusterError)
		if took := time.Since(began); took > secretsTime+maxRetry {
			t.Errorf("it took %s", took)
		}
		if c, _ := r.container(); c.State != docker.StateRunning {
			t.Errorf("container is %s", c.State)
		}
	})
}
