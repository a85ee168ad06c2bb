package nodeclient

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/docker/dockertest"
	"openshell.ai/openshell/pkg/nodeapi"
)

// runningContainer is an engine with one running container.
func runningContainer(t *testing.T) (*dockertest.Fake, string) {
	t.Helper()
	f := dockertest.New()
	f.AddImage(nil, "node:1")
	id, err := f.CreateContainer(t.Context(), docker.ContainerSpec{Name: "node", Image: "node:1"})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.StartContainer(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	return f, id
}

func TestStatus(t *testing.T) {
	f, id := runningContainer(t)
	answer, code := `{"phase":"serving"}`, 0
	f.OnExec(func(_ *dockertest.Fake, _ docker.Container, spec docker.ExecSpec) (int, error) {
		if !slices.Equal(spec.Argv, []string{nodeapi.Binary, "status"}) {
			t.Errorf("argv: %q", spec.Argv)
		}
		fmt.Fprint(spec.Stdout, answer)
		fmt.Fprint(spec.Stderr, "no such socket")
		return code, nil
	})
	n := Client{f}
	if s, err := n.Status(t.Context(), id); err != nil || s.Phase != nodeapi.Serving {
		t.Errorf("%+v, %v", s, err)
	}
	answer = "not json"
	if _, err := n.Status(t.Context(), id); err == nil {
		t.Error("a report that is none was accepted")
	}
	code = 1
	if _, err := n.Status(t.Context(), id); err == nil || !bytes.Contains([]byte(err.Error()), []byte("no such socket")) {
		t.Errorf("%v", err)
	}
}

// stream is the far end of a process's standard streams.
type stream struct {
	*io.PipeReader
	closed chan struct{}
}

func (s stream) Write(p []byte) (int, error) { return len(p), nil }

func (s stream) Close() error {
	close(s.closed)
	return s.PipeReader.Close()
}

func TestWatchEndsWithItsContext(t *testing.T) {
	f, id := runningContainer(t)
	reader, writer := io.Pipe()
	closed := make(chan struct{})
	f.OnExecStream(func(*dockertest.Fake, docker.Container, []string) (io.ReadWriteCloser, error) {
		return stream{reader, closed}, nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	heard := make(chan nodeapi.Phase)
	done := make(chan error)
	go func() {
		done <- Client{f}.Watch(ctx, id, func(s nodeapi.Status) { heard <- s.Phase })
	}()
	fmt.Fprintln(writer, `{"phase":"booting"}`)
	if phase := <-heard; phase != nodeapi.Booting {
		t.Errorf("%s", phase)
	}
	cancel()
	<-closed
	<-done
}

func TestReadReports(t *testing.T) {
	var phases []nodeapi.Phase
	read := func(stream string) error {
		phases = nil
		return readReports(strings.NewReader(stream), func(s nodeapi.Status) { phases = append(phases, s.Phase) })
	}
	if err := read("{\"phase\":\"booting\"}\n{\"phase\":\"serving\",\"later\":1}\n"); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]nodeapi.Phase{nodeapi.Booting, nodeapi.Serving}, phases); diff != "" {
		t.Error(diff)
	}
	if err := read("{\"phase\":\"booting\"}\n{\"pha"); err == nil || len(phases) != 1 {
		t.Errorf("a torn report: %v, %v", phases, err)
	}
}

func FuzzReadReports(f *testing.F) {
	f.Add(`{"phase":"booting","milestones":[{"name":"etcd","afterMs":3}]}`)
	f.Fuzz(func(t *testing.T, stream string) {
		n := 0
		_ = readReports(strings.NewReader(stream), func(nodeapi.Status) { n++ })
		if n > len(stream) {
			t.Errorf("%d reports of %d bytes", n, len(stream))
		}
	})
}
