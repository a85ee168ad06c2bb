//go:build engine

package docker_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"openshell.ai/openshell/pkg/docker"
)

func TestInfoDescribesTheEngine(t *testing.T) {
	info, err := connect(t).Info(t.Context())
	must(t, err)
	if info.OS != "linux" || info.Arch != runtime.GOARCH || info.NCPU < 1 || info.MemTotal < 1<<20 || info.Kernel == "" ||
		info.StorageDriver == "" || (info.CgroupVersion != 1 && info.CgroupVersion != 2) || info.ServerVersion == "" ||
		info.APIVersion < "1.41" || !strings.Contains(info.Endpoint, "://") || time.Since(info.SystemTime).Abs() > time.Hour {
		t.Errorf("info %+v", info)
	}
}

// inspect is what `docker inspect` says, without this package's help.
func inspect(t *testing.T, ref string, into any) {
	t.Helper()
	out, err := exec.Command("docker", "inspect", "--type", "container", ref).Output()
	must(t, err)
	must(t, json.Unmarshal(out, into))
}

func TestSpecReachesTheEngineWhole(t *testing.T) {
	l := engineLab(t)
	const profile = `{"defaultAction":"SCMP_ACT_ALLOW"}`
	l.create(t, "c", serve, func(s *docker.ContainerSpec) {
		s.Env, s.Tmpfs, s.Devices = []string{"WORD=said"}, map[string]string{"/run": "mode=0755"}, []string{"/dev/null"}
		s.CapAdd, s.SecurityOpt = []string{"SYS_ADMIN", "NET_ADMIN"}, []string{"seccomp=" + profile}
		s.PrivateCgroup, s.StopTimeout, s.LogOptions = true, 30*time.Second, map[string]string{"max-size": "10m", "max-file": "3"}
		s.NanoCPUs, s.Memory, s.RestartPolicy = 500_000_000, 64<<20, "unless-stopped"
		s.Volumes = map[string]string{"/data": l.name("vol")}
	})
	var got []struct {
		Config struct {
			StopSignal  string
			StopTimeout int
		}
		HostConfig struct {
			CapAdd, SecurityOpt []string
			CgroupnsMode        string
			Privileged          bool
			NanoCpus, Memory    int64
			Tmpfs               map[string]string
			LogConfig           struct {
				Type   string
				Config map[string]string
			}
			RestartPolicy struct{ Name string }
			Devices       []struct{ PathOnHost, PathInContainer, CgroupPermissions string }
			MaskedPaths   []string
		}
	}
	inspect(t, l.name("c"), &got)
	h := got[0].HostConfig
	if got[0].Config.StopSignal != "SIGTERM" || got[0].Config.StopTimeout != 30 || h.CgroupnsMode != "private" || h.Privileged ||
		h.NanoCpus != 500_000_000 || h.Memory != 64<<20 || h.RestartPolicy.Name != "unless-stopped" || len(h.MaskedPaths) == 0 {
		t.Errorf("got %+v", got[0])
	}
	want := []any{[]string{"CAP_NET_ADMIN", "CAP_SYS_ADMIN"}, []string{"seccomp=" + profile}, map[string]string{"/run": "mode=0755"},
		"json-file", map[string]string{"max-size": "10m", "max-file": "3"}, "/dev/null", "rwm"}
	have := []any{h.CapAdd, h.SecurityOpt, h.Tmpfs, h.LogConfig.Type, h.LogConfig.Config, h.Devices[0].PathInContainer, h.Devices[0].CgroupPermissions}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Error(diff)
	}
	l.start(t, "c")
	var out bytes.Buffer
	_, err := l.Exec(t.Context(), l.name("c"), docker.ExecSpec{Argv: []string{"/probe", "env", "WORD"}, Stdout: &out})
	if err != nil || out.String() != "said\n" {
		t.Errorf("environment %q, %v", &out, err)
	}
	c, err := l.Container(t.Context(), l.name("c"))
	must(t, err)
	if c.NanoCPUs != 500_000_000 || c.Memory != 64<<20 {
		t.Errorf("limits %d, %d", c.NanoCPUs, c.Memory)
	}
}

func TestBadSpecNamesTheFieldAndChangesNothing(t *testing.T) {
	l := engineLab(t)
	for _, tc := range []struct {
		port docker.Port
		says string
	}{
		{docker.Port{Host: 70000, Bind: "127.0.0.1", Container: 80, Proto: "tcp"}, "out of range"},
		{docker.Port{Host: 8080, Bind: "localhost", Container: 80, Proto: "tcp"}, "bind address"},
	} {
		_, err := l.CreateContainer(t.Context(), docker.ContainerSpec{Name: l.name("c"), Image: l.image, Ports: []docker.Port{tc.port}})
		if err == nil || !strings.Contains(err.Error(), tc.says) || l.state(t, "c") != "absent" {
			t.Errorf("%+v: %v", tc.port, err)
		}
	}
}

// TestWriteFileSetsTheModesOfWhatItMakesAlone looks from inside the container.
func TestWriteFileSetsTheModesOfWhatItMakesAlone(t *testing.T) {
	l := engineLab(t)
	ctx, ref := t.Context(), l.name("c")
	l.create(t, "c", serve, func(s *docker.ContainerSpec) { s.Volumes = map[string]string{"/data": l.name("vol")} })
	must(t, l.WriteFile(ctx, ref, "/data/new/f", 0o640, []byte("x")), l.WriteFile(ctx, ref, "/data/g", 0o600, nil))
	l.start(t, "c")
	for path, want := range map[string]string{
		"/data/new": "drwx------", "/data/new/f": "-rw-r-----", "/data/g": "-rw-------", "/data": "drwxr-xr-x", "/etc": "drwxr-xr-x",
	} {
		var out bytes.Buffer
		_, err := l.Exec(ctx, ref, docker.ExecSpec{Argv: []string{"/probe", "stat", path}, Stdout: &out})
		if got := strings.TrimSpace(out.String()); err != nil || got != want {
			t.Errorf("%s has mode %q, want %q (%v)", path, got, want, err)
		}
	}
}

func TestExecOnATerminal(t *testing.T) {
	l := engineLab(t)
	l.create(t, "c", serve, nil)
	l.start(t, "c")
	sizes := make(chan docker.Size, 2)
	sizes <- docker.Size{Width: 91, Height: 31}
	in, typed := io.Pipe()
	screen := &watched{make(chan []byte, 64)}
	done := make(chan error, 1)
	go func() {
		code, err := l.Exec(t.Context(), l.name("c"), docker.ExecSpec{
			Argv: []string{"/probe", "size"}, Stdin: in, Stdout: screen, TTY: true, Resize: sizes,
		})
		if code != 0 {
			err = errors.Join(err, errors.New("exit code"))
		}
		done <- err
	}()
	screen.await(t, "91x31")
	sizes <- docker.Size{Width: 80, Height: 24}
	screen.await(t, "80x24")
	_, err := io.WriteString(typed, "\n")
	must(t, err, <-done)
}

// watched is output that a test waits for.
type watched struct{ seen chan []byte }

func (w *watched) Write(p []byte) (int, error) {
	w.seen <- bytes.Clone(p)
	return len(p), nil
}

// await consumes output until it contains the word.
func (w *watched) await(t *testing.T, word string) {
	t.Helper()
	limit := time.After(20 * time.Second)
	for got := ""; !strings.Contains(got, word); {
		select {
		case p := <-w.seen:
			got += string(p)
		case <-limit:
			t.Fatalf("no %q in %q", word, got)
		}
	}
}

func TestExecEndsWithItsContext(t *testing.T) {
	l := engineLab(t)
	l.create(t, "c", serve, nil)
	l.start(t, "c")
	ctx, cancel := context.WithCancel(t.Context())
	in, _ := io.Pipe()
	screen := &watched{make(chan []byte, 64)}
	done := make(chan error, 1)
	go func() {
		_, err := l.Exec(ctx, l.name("c"), docker.ExecSpec{Argv: []string{"/probe", "serve"}, Stdin: in, Stdout: screen})
		done <- err
	}()
	screen.await(t, "ready")
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("err %v", err)
	}
}

func TestExecInAContainerThatStops(t *testing.T) {
	l := engineLab(t)
	l.create(t, "c", serve, nil)
	l.start(t, "c")
	screen := &watched{make(chan []byte, 64)}
	type result struct {
		code int
		err  error
	}
	done := make(chan result, 1)
	go func() {
		code, err := l.Exec(t.Context(), l.name("c"), docker.ExecSpec{Argv: []string{"/probe", "serve"}, Stdout: screen})
		done <- result{code, err}
	}()
	screen.await(t, "ready")
	must(t, l.StopContainer(t.Context(), l.name("c"), 10*time.Second))
	if r := <-done; r.code == 0 && r.err == nil {
		t.Error("a killed command looks successful")
	}
}

func TestExecOfAnAbsentCommandFails(t *testing.T) {
	l := engineLab(t)
	l.create(t, "c", serve, nil)
	l.start(t, "c")
	code, err := l.Exec(t.Context(), l.name("c"), docker.ExecSpec{Argv: []string{"/nothing"}})
	if err == nil && code == 0 {
		t.Error("success")
	}
}

func TestExecStreamIsAConnection(t *testing.T) {
	l := engineLab(t)
	l.create(t, "c", serve, nil)
	l.start(t, "c")
	s, err := l.ExecStream(t.Context(), l.name("c"), []string{"/probe", "echo"})
	must(t, err)
	conn := s.(net.Conn)
	must(t, conn.SetReadDeadline(time.Now().Add(-time.Second)))
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("past deadline: %v", err)
	}
	must(t, conn.SetReadDeadline(time.Time{}))
	_, err = io.WriteString(conn, "after")
	must(t, err)
	back := make([]byte, 5)
	_, err = io.ReadFull(conn, back)
	if err != nil || string(back) != "after" {
		t.Errorf("%q, %v", back, err)
	}
	must(t, conn.Close())

	noise, err := l.ExecStream(t.Context(), l.name("c"), []string{"/probe", "noise", "200000"})
	must(t, err)
	out, err := io.ReadAll(noise)
	if err != nil || string(out) != "one\ntwo\n" {
		t.Errorf("%q, %v", out, err)
	}
}

func TestLoadImageReportsLayersAndNames(t *testing.T) {
	e := connect(t)
	var lines []string
	refs, err := e.LoadImage(t.Context(), bytes.NewReader(probeImage(t)), func(l string) { lines = append(lines, l) })
	must(t, err)
	if diff := cmp.Diff([]string{engineImage}, refs); diff != "" {
		t.Error(diff)
	}
	if len(lines) == 0 || !strings.HasSuffix(lines[len(lines)-1], engineImage) {
		t.Errorf("lines %q", lines)
	}
	for name, data := range map[string][]byte{"not a tar": []byte("nonsense"), "empty": nil, "no image": archive(t, map[string][]byte{"x": nil})} {
		if refs, err := e.LoadImage(t.Context(), bytes.NewReader(data), nil); err == nil {
			t.Errorf("%s: loaded %v", name, refs)
		}
	}
}

func TestPullOfWhatCannotBeReachedFails(t *testing.T) {
	err := connect(t).PullImage(t.Context(), "127.0.0.1:1/openshell-docker-test:v1", nil)
	if err == nil || docker.IsUnreachable(err) {
		t.Errorf("err %v", err)
	}
}

func TestRestartPolicyBringsAProcessBack(t *testing.T) {
	l := engineLab(t)
	l.create(t, "c", []string{"exit", "1"}, func(s *docker.ContainerSpec) { s.RestartPolicy = "unless-stopped" })
	l.start(t, "c")
	deadline := time.After(20 * time.Second)
	for {
		c, err := l.Container(t.Context(), l.name("c"))
		must(t, err)
		if c.Restarts > 0 {
			break
		}
		select {
		case <-deadline:
			t.Fatal("no restart")
		case <-time.After(50 * time.Millisecond):
		}
	}
	must(t, l.StopContainer(t.Context(), l.name("c"), time.Second))
	if s := l.state(t, "c"); s != docker.StateExited {
		t.Errorf("state %s", s)
	}
}
