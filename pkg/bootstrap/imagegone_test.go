package bootstrap

import (
	"testing"

	"openshell.ai/openshell/pkg/fault"
)

// An image can be removed under a container that does not run. What the volume
// holds is then looked at with another one, or, where there is none, told as far
// as the container alone can show it.
func TestImageRemovedUnderAStoppedContainer(t *testing.T) {
	neverHealthy := func(r *rig) {
		r.crash = true
		_, err := r.start(StartOptions{KeepOnFailure: true})
		if !fault.HasID(err, fault.NodeFailed) {
			r.t.Fatalf("start: %v", err)
		}
		r.crash = false
	}
	for name, c := range map[string]struct {
		settings string // what gateway.json is overwritten with
		lead     func(r *rig)
		word     Word
		exit     fault.Exit // of a start without an image
		again    fault.Exit // of one with another build of it
	}{
		"never healthy": {lead: neverHealthy, word: Unborn, exit: fault.ExitFailure, again: fault.ExitOK},
		"damaged":       {settings: "{", lead: func(r *rig) { r.mustStart(StartOptions{}) }, word: Broken, exit: fault.ExitDecision, again: fault.ExitDecision},
	} {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(t *testing.T, r *rig) {
				c.lead(r)
				r.engine.Kill(resource)
				if c.settings != "" {
					r.engine.PutVolumeFile(resource, "current/gateway.json", 0o600, []byte(c.settings))
				}
				image := r.image()
				r.engine.RemoveImage(image.ID)
				if s, err := r.m.Status(t.Context(), testName); err != nil || s.Word != c.word {
					t.Errorf("status without an image: %q, %v; want %q", s.Word, err, c.word)
				}
				if _, err := r.start(StartOptions{}); fault.ExitOf(err) != c.exit {
					t.Errorf("start without an image: %v; want exit code %d", err, c.exit)
				}
				r.engine.AddImage(image.Labels, rigImage)
				if s, err := r.m.Status(t.Context(), testName); err != nil || s.Word != c.word {
					t.Errorf("status with another build: %q, %v; want %q", s.Word, err, c.word)
				}
				if _, err := r.start(StartOptions{}); fault.ExitOf(err) != c.again {
					t.Errorf("start with another build: %v; want exit code %d", err, c.again)
				}
			})
		})
	}
}
