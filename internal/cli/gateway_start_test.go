package cli

import (
	"testing"

	"openshell.ai/openshell/pkg/bootstrap"
)

func TestStartSentences(t *testing.T) {
	for want, r := range map[string]bootstrap.StartResult{
		"gateway a is already running at E":                      {Action: "none", Was: bootstrap.Running},
		"gateway a is running at E (2.0s)":                       {Action: "none", Was: bootstrap.Starting},
		"gateway a is already running at E; repaired: x, y":      {Action: "repair", Was: bootstrap.Running, Changed: []string{"x", "y"}},
		"gateway a is running again at E; repaired: x, y (2.0s)": {Action: "repair", Was: bootstrap.Paused, Changed: []string{"x", "y"}},
		"gateway a is back at E, as it was (2.0s)":               {Action: "resume", Was: bootstrap.Suspended},
		"gateway a is back at E, with repaired secrets (2.0s)":   {Action: "resume", Was: bootstrap.Stopped, Changed: []string{"start container", "reconcile secrets"}},
		"gateway a is back at E, with other settings (2.0s)":     {Action: "resume", Was: bootstrap.Stopped, Changed: []string{"write settings"}},
		"gateway a was destroyed and started empty at E (2.0s)":  {Action: "recreate", Was: bootstrap.Stopped},
	} {
		r.Name, r.Endpoint, r.ElapsedMS = "a", "E", 2000
		if got := startSentence(r); got != want {
			t.Errorf("%s, was %s: %q", r.Action, r.Was, got)
		}
	}
	for _, action := range []string{"fresh", "recreate"} {
		r := bootstrap.StartResult{Name: "a", Endpoint: "E", ElapsedMS: 2000, Action: action, Was: bootstrap.Absent}
		if got := startSentence(r); got != "gateway a is running at E (2.0s)" {
			t.Errorf("%s of nothing: %q", action, got)
		}
	}
}
