package docker_test

import (
	"bytes"
	"context"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"openshell.ai/openshell/pkg/docker"
)

// contentBehaviours are what goes into and comes out of a container.
func contentBehaviours() map[string]behaviour {
	return map[string]behaviour{
		"files are read and written in a container that never ran": func(t *testing.T, l lab) {
			ctx, ref := t.Context(), l.name("c")
			l.create(t, "c", serve, nil)
			must(t, l.WriteFile(ctx, ref, "/a/b/f", 0o640, []byte("one")), l.WriteFile(ctx, ref, "/a/b/f", 0o600, []byte("two")))
			data, err := l.ReadFile(ctx, ref, "/a/b/f")
			if err != nil || string(data) != "two" {
				t.Errorf("read %q, %v", data, err)
			}
			must(t, l.WriteFile(ctx, ref, "/a/empty", 0o600, nil), l.WriteFile(ctx, ref, "/a/big", 0o600, make([]byte, 1<<20)),
				l.WriteFile(ctx, ref, "/a/bigger", 0o600, make([]byte, 1<<20+1)))
			if data, err := l.ReadFile(ctx, ref, "/a/empty"); err != nil || len(data) != 0 {
				t.Errorf("empty file: %q, %v", data, err)
			}
			if data, err := l.ReadFile(ctx, ref, "/a/big"); err != nil || len(data) != 1<<20 {
				t.Errorf("file of 1 MiB: %d bytes, %v", len(data), err)
			}
			read := func(p string) error { _, err := l.ReadFile(ctx, ref, p); return err }
			wantKind(t, "too big", read("/a/bigger"), "other")
			wantKind(t, "a directory", read("/a/b"), "other")
			wantKind(t, "absent", read("/a/nothing"), "file-not-found not-found")
			wantKind(t, "absent parent", read("/nothing/nothing"), "file-not-found not-found")
			wantKind(t, "over a directory", l.WriteFile(ctx, ref, "/a/b", 0o600, nil), "other")
			wantKind(t, "below a file", l.WriteFile(ctx, ref, "/a/b/f/g", 0o600, nil), "other")
			wantKind(t, "relative", l.WriteFile(ctx, ref, "a", 0o600, nil), "other")
		},
		"logs have both streams, a tail, and end with the container": func(t *testing.T, l lab) {
			ctx := t.Context()
			id := l.create(t, "c", serve, nil)
			l.start(t, "c")
			r, err := l.Logs(ctx, id, docker.LogOptions{Follow: true})
			must(t, err)
			buf := make([]byte, len(l.startLog))
			_, err = io.ReadFull(r, buf)
			must(t, err, l.StopContainer(ctx, id, 10*time.Second))
			rest, err := io.ReadAll(r)
			must(t, err, r.Close())
			lines := strings.Split(strings.TrimSpace(string(buf)+string(rest)), "\n")
			slices.Sort(lines)
			if diff := cmp.Diff([]string{"ready", "warned"}, lines); diff != "" {
				t.Error(diff)
			}
			r, err = l.Logs(ctx, id, docker.LogOptions{Tail: 1})
			must(t, err)
			last, err := io.ReadAll(r)
			must(t, err, r.Close())
			if strings.Count(string(last), "\n") != 1 {
				t.Errorf("tail %q", last)
			}
		},
		"a command has its streams and its exit code": func(t *testing.T, l lab) {
			ctx := t.Context()
			id := l.create(t, "c", serve, nil)
			_, err := l.Exec(ctx, id, docker.ExecSpec{Argv: []string{"/probe", "exit", "0"}})
			wantKind(t, "exec in a created container", err, "not-running")
			_, err = l.ExecStream(ctx, id, []string{"/probe", "echo"})
			wantKind(t, "stream of a created container", err, "not-running")
			l.start(t, "c")
			var out, errs bytes.Buffer
			code, err := l.Exec(ctx, id, docker.ExecSpec{
				Argv: []string{"/probe", "echo"}, Stdin: strings.NewReader("hello"), Stdout: &out, Stderr: &errs,
			})
			if err != nil || code != 0 || out.String() != "hello" || errs.String() != "end\n" {
				t.Errorf("echo: %d, %v, %q, %q", code, err, &out, &errs)
			}
			code, err = l.Exec(ctx, id, docker.ExecSpec{Argv: []string{"/probe", "exit", "3"}})
			if err != nil || code != 3 {
				t.Errorf("exit 3: %d, %v", code, err)
			}
		},
		"a stream carries bytes both ways and can be half closed": func(t *testing.T, l lab) {
			ctx := t.Context()
			id := l.create(t, "c", serve, nil)
			l.start(t, "c")
			s, err := l.ExecStream(ctx, id, []string{"/probe", "echo"})
			must(t, err)
			for _, word := range []string{"one", "two"} {
				_, err := io.WriteString(s, word)
				must(t, err)
				back := make([]byte, len(word))
				_, err = io.ReadFull(s, back)
				must(t, err)
				if string(back) != word {
					t.Errorf("%q came back as %q", word, back)
				}
			}
			must(t, s.(interface{ CloseWrite() error }).CloseWrite())
			rest, err := io.ReadAll(s)
			must(t, err, s.Close())
			if len(rest) != 0 {
				t.Errorf("rest %q: stderr must not be in the stream", rest)
			}
		},
		"a call whose context has ended says so": func(t *testing.T, l lab) {
			ctx, cancel := context.WithCancel(t.Context())
			id := l.create(t, "c", serve, nil)
			l.start(t, "c")
			wait := make(chan error, 1)
			go func() { _, err := l.WaitContainer(ctx, id); wait <- err }()
			removed := make(chan error, 1)
			go func() { removed <- l.WaitRemoved(ctx, id) }()
			cancel()
			wantKind(t, "wait", <-wait, "canceled")
			wantKind(t, "wait for removal", <-removed, "canceled")
			_, err := l.Container(ctx, id)
			wantKind(t, "inspect", err, "canceled")
		},
	}
}
