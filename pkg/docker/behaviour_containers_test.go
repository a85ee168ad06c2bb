package docker_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"openshell.ai/openshell/pkg/docker"
)

// containerBehaviours are the states and the life of a container.
func containerBehaviours() map[string]behaviour {
	return map[string]behaviour{
		"a container goes through its states": func(t *testing.T, l lab) {
			ctx := t.Context()
			id := l.create(t, "c", serve, func(s *docker.ContainerSpec) { s.Hostname, s.RestartPolicy = "node-x", "unless-stopped" })
			var states []docker.ContainerState
			note := func(errs ...error) { t.Helper(); must(t, errs...); states = append(states, l.state(t, "c")) }
			note()
			c, err := l.Container(ctx, id)
			must(t, err)
			if c.Name != l.name("c") || c.Hostname != "node-x" || c.ImageRef != l.image || c.RestartPolicy != "unless-stopped" ||
				c.Labels["lab"] != l.prefix || c.Labels["flavour"] != "plain" || !c.StartedAt.IsZero() {
				t.Errorf("created: %+v", c)
			}
			note(l.StartContainer(ctx, id), l.StartContainer(ctx, id))
			note(l.PauseContainer(ctx, id))
			note(l.UnpauseContainer(ctx, id))
			note(l.StopContainer(ctx, id, 10*time.Second), l.StopContainer(ctx, id, time.Second))
			c, err = l.Container(ctx, id)
			must(t, err)
			if c.ExitCode != 0 || c.StartedAt.IsZero() {
				t.Errorf("stopped: exit code %d, started at %v", c.ExitCode, c.StartedAt)
			}
			note(l.StartContainer(ctx, id))
			note(l.RemoveContainer(ctx, id))
			want := []docker.ContainerState{"created", "running", "paused", "running", "exited", "running", "absent"}
			if diff := cmp.Diff(want, states); diff != "" {
				t.Error(diff)
			}
		},
		"a call on an absent container is not found": func(t *testing.T, l lab) {
			ctx, ref := t.Context(), l.name("nobody")
			_, inspect := l.Container(ctx, ref)
			_, read := l.ReadFile(ctx, ref, "/x")
			_, exec := l.Exec(ctx, ref, docker.ExecSpec{Argv: []string{"/probe", "exit", "0"}})
			_, stream := l.ExecStream(ctx, ref, []string{"/probe", "echo"})
			_, logs := l.Logs(ctx, ref, docker.LogOptions{})
			_, wait := l.WaitContainer(ctx, ref)
			for what, err := range map[string]error{
				"inspect": inspect, "read": read, "exec": exec, "stream": stream, "logs": logs, "wait": wait,
				"start": l.StartContainer(ctx, ref), "stop": l.StopContainer(ctx, ref, 0), "pause": l.PauseContainer(ctx, ref),
				"unpause": l.UnpauseContainer(ctx, ref), "remove": l.RemoveContainer(ctx, ref), "purge": l.PurgeContainer(ctx, ref),
				"policy": l.SetRestartPolicy(ctx, ref, "no"), "write": l.WriteFile(ctx, ref, "/x", 0o600, nil),
			} {
				wantKind(t, what, err, "not-found")
			}
			wantKind(t, "wait for removal", l.WaitRemoved(ctx, ref), "none")
		},
		"a name is taken once": func(t *testing.T, l lab) {
			l.create(t, "c", serve, nil)
			_, err := l.CreateContainer(t.Context(), docker.ContainerSpec{Name: l.name("c"), Image: l.image, Cmd: serve})
			wantKind(t, "second container", err, "conflict")
		},
		"a paused container can be stopped and not started": func(t *testing.T, l lab) {
			ctx := t.Context()
			id := l.create(t, "c", serve, nil)
			wantKind(t, "pause of a created one", l.PauseContainer(ctx, id), "not-running")
			l.start(t, "c")
			wantKind(t, "unpause of a running one", l.UnpauseContainer(ctx, id), "other")
			must(t, l.PauseContainer(ctx, id))
			wantKind(t, "start", l.StartContainer(ctx, id), "other")
			_, err := l.Exec(ctx, id, docker.ExecSpec{Argv: []string{"/probe", "exit", "0"}})
			wantKind(t, "exec", err, "not-running")
			must(t, l.StopContainer(ctx, id, 0))
			if s := l.state(t, "c"); s != docker.StateExited {
				t.Errorf("state %s", s)
			}
		},
		"a process's exit code is waited for": func(t *testing.T, l lab) {
			ctx := t.Context()
			id := l.create(t, "c", []string{"exit", "7"}, nil)
			code, err := l.WaitContainer(ctx, id)
			if err != nil || code != 0 {
				t.Errorf("before the start: %d, %v", code, err)
			}
			l.start(t, "c")
			code, err = l.WaitContainer(ctx, id)
			if err != nil || code != 7 {
				t.Errorf("wait: %d, %v", code, err)
			}
		},
		"a container with auto-remove goes with its process": func(t *testing.T, l lab) {
			ctx := t.Context()
			id := l.create(t, "c", []string{"exit", "0"}, func(s *docker.ContainerSpec) { s.AutoRemove = true })
			l.start(t, "c")
			must(t, l.WaitRemoved(ctx, id))
			if s := l.state(t, "c"); s != "absent" {
				t.Errorf("state %s", s)
			}
		},
		"the restart policy of a container can be changed": func(t *testing.T, l lab) {
			ctx := t.Context()
			id := l.create(t, "c", serve, nil)
			before, err := l.Container(ctx, id)
			must(t, err, l.SetRestartPolicy(ctx, id, "unless-stopped"))
			after, err := l.Container(ctx, id)
			must(t, err)
			if diff := cmp.Diff([]string{"no", "unless-stopped"}, []string{before.RestartPolicy, after.RestartPolicy}); diff != "" {
				t.Error(diff)
			}
		},
	}
}
