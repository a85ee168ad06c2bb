package docker_test

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"testing"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/docker/dockertest"
)

func TestBehaviourOfTheFake(t *testing.T) { runBehaviours(t, fakeLab) }

// fakeLab is a fake whose containers and commands play the probe.
func fakeLab(*testing.T) lab {
	f := dockertest.New()
	f.AddImage(map[string]string{"flavour": "plain", "lab.image": "probe:latest"}, "probe:latest")
	f.PutImageFile("probe:latest", "/etc/motd", 0o644, []byte("of the image\n"))
	f.OnStart(func(f *dockertest.Fake, c docker.Container) {
		switch argv := f.Spec(c.ID).Cmd; argv[0] {
		case "serve":
			f.Log(c.ID, "ready")
			f.Log(c.ID, "warned")
		case "exit":
			code, _ := strconv.Atoi(argv[1])
			f.Exit(c.ID, code)
		}
	})
	f.OnExec(func(_ *dockertest.Fake, _ docker.Container, spec docker.ExecSpec) (int, error) {
		switch spec.Argv[1] {
		case "echo":
			_, err := io.Copy(spec.Stdout, spec.Stdin)
			_, _ = fmt.Fprintln(spec.Stderr, "end")
			return 0, err
		default:
			return strconv.Atoi(spec.Argv[2])
		}
	})
	f.OnExecStream(func(*dockertest.Fake, docker.Container, []string) (io.ReadWriteCloser, error) {
		return echo()
	})
	return lab{
		Engine: f, image: "probe:latest", prefix: "lab-", subnet: netip.MustParsePrefix("10.213.0.0/24"), port: 18080,
		hold:     func(_ *testing.T, held bool) { f.OccupyPort(18080, "tcp", held) },
		startLog: "ready\nwarned\n",
	}
}

// echo is a connection that sends back what it gets.
func echo() (io.ReadWriteCloser, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	go func() {
		c, err := l.Accept()
		_ = l.Close()
		if err != nil {
			return
		}
		_, _ = io.Copy(c, c)
		_ = c.Close()
	}()
	return net.Dial("tcp", l.Addr().String())
}
