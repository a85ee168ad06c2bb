package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"

	cerrdefs "github.com/containerd/errdefs"
)

// answer is an error as the client makes it of an HTTP answer.
func answer(class error, msg string) error {
	return fmt.Errorf("%w: Error response from daemon: %s", class, msg)
}

func TestMessagesOfTheEngineHaveTheirKind(t *testing.T) {
	const id = "5f3c5b1e0d9a5f3c5b1e0d9a5f3c5b1e0d9a5f3c5b1e0d9a5f3c5b1e0d9a5f3c"
	network := "driver failed programming external connectivity on endpoint openshell-cluster-openshell (" + id + "): "
	internal, conflict, notFound, forbidden := cerrdefs.ErrInternal, cerrdefs.ErrConflict, cerrdefs.ErrNotFound, cerrdefs.ErrPermissionDenied
	for _, tc := range []struct {
		name string
		op   string
		err  error
		kind Kind
		port int
	}{
		{"port of a container, 20.10", opStart, answer(internal, network+"Bind for 127.0.0.1:8080 failed: port is already allocated"), PortInUse, 8080},
		{"port of a process, 20.10", opStart, answer(internal, network+"Error starting userland proxy: listen tcp4 127.0.0.1:8080: bind: address already in use"), PortInUse, 8080},
		{"port of a process, udp", opStart, answer(internal, network+"Error starting userland proxy: listen udp4 0.0.0.0:49100: bind: address already in use"), PortInUse, 49100},
		{"port over IPv6", opStart, answer(internal, network+"Error starting userland proxy: listen tcp6 [::]:8080: bind: address already in use"), PortInUse, 8080},
		{"port of a container over IPv6", opStart, answer(internal, network+"Bind for :::8080 failed: port is already allocated"), PortInUse, 8080},
		{"port of a process, 27", opStart, answer(internal, network+"failed to bind port 127.0.0.1:8080/tcp: Error starting userland proxy: listen tcp4 127.0.0.1:8080: bind: address already in use"), PortInUse, 8080},
		{"port of a process, 28", opStart, answer(internal, "failed to set up container networking: "+network+"failed to bind host port for 127.0.0.1:8080:172.18.0.2:30051/tcp: address already in use"), PortInUse, 8080},
		{"port of a process, 29", opStart, answer(internal, "failed to set up container networking: "+network+"failed to bind host port 127.0.0.1:8080/tcp: address already in use"), PortInUse, 8080},
		{"port without userland proxy", opStart, answer(internal, network+"failed to bind port 0.0.0.0:8080/tcp: listen tcp4 0.0.0.0:8080: bind: address already in use"), PortInUse, 8080},
		{"port, rootless", opStart, answer(internal, network+"Error starting userland proxy: error while calling PortManager.AddPort(): listen tcp4 127.0.0.1:8080: bind: address already in use"), PortInUse, 8080},
		{"port, Docker Desktop", opStart, answer(internal, "Ports are not available: exposing port TCP 127.0.0.1:8080 -> 127.0.0.1:0: listen tcp4 127.0.0.1:8080: bind: address already in use"), PortInUse, 8080},
		{"port, Docker Desktop, lower case", opStart, answer(internal, "ports are not available: exposing port TCP 127.0.0.1:8080 -> 127.0.0.1:0: /forwards/expose returned unexpected status: 500"), PortInUse, 8080},
		{"port, Docker Desktop on Windows", opStart, answer(internal, "Ports are not available: exposing port TCP 0.0.0.0:4505 -> 0.0.0.0:0: listen tcp4 0.0.0.0:4505: bind: Only one usage of each socket address (protocol/network address/port) is normally permitted."), PortInUse, 4505},
		{"port reserved by Windows", opStart, answer(internal, "Ports are not available: listen tcp 0.0.0.0:5005: bind: An attempt was made to access a socket in a way forbidden by its access permissions."), PortInUse, 5005},
		{"port, an old Docker Desktop", opStart, answer(internal, network+"Error starting userland proxy: Bind for 0.0.0.0:80: unexpected error (Failure EADDRINUSE)"), PortInUse, 80},
		{"port not named", opStart, answer(internal, "Ports are not available: unable to list exposed ports"), PortInUse, 0},
		{"bind address not of this host", opStart, answer(internal, network+"Error starting userland proxy: listen tcp 172.17.42.1:10000: bind: cannot assign requested address"), Other, 0},
		{"address of the container", opStart, answer(forbidden, "Address already in use"), Other, 0},
		{"network gone, 20.10", opStart, answer(notFound, "network "+id+" not found"), NetworkMissing, 0},
		{"network gone, 28", opStart, answer(notFound, "failed to set up container networking: network "+id+" not found"), NetworkMissing, 0},
		{"network absent", "inspect network", answer(notFound, "network openshell-cluster-x not found"), NotFound, 0},
		{"network absent, 20.10", "inspect network", answer(notFound, "No such network: openshell-cluster-x"), NotFound, 0},
		{"container absent", "inspect container", answer(notFound, "No such container: openshell-cluster-x"), NotFound, 0},
		{"network of a stopped container", opStart, answer(conflict, "cannot join network of a non running container: "+id), NotRunning, 0},
		{"on a network already", "connect to network", answer(forbidden, "endpoint with name openshell-sidecar-x.web already exists in network openshell-cluster-x"), Conflict, 0},
		{"container absent at start", opStart, answer(notFound, "No such container: openshell-cluster-x"), NotFound, 0},
		{"volume absent", "inspect volume", answer(notFound, "get openshell-cluster-x: no such volume"), NotFound, 0},
		{"image absent", "create container", answer(notFound, "No such image: openshell/cluster:v1"), NotFound, 0},
		{"file absent", opReadFile, answer(notFound, "Could not find the file /var/lib/openshell/current/gateway.json in container openshell-cluster-x"), FileNotFound, 0},
		{"container of the file absent", opReadFile, answer(notFound, "No such container: openshell-cluster-x"), NotFound, 0},
		{"container name taken", "create container", answer(conflict, `Conflict. The container name "/openshell-cluster-x" is already in use by container "`+id+`". You have to remove (or rename) that container to be able to reuse that name.`), Conflict, 0},
		{"network name taken", "create network", answer(conflict, "network with name openshell-cluster-x already exists"), Conflict, 0},
		{"volume of another driver", "create volume", answer(conflict, "create x: conflict: volume name must be unique"), Other, 0},
		{"subnet taken, 20.10", "create network", answer(forbidden, "Pool overlaps with other one on this address space"), SubnetTaken, 0},
		{"subnet taken, 27", "create network", answer(forbidden, "invalid pool request: Pool overlaps with other one on this address space"), SubnetTaken, 0},
		{"subnet taken by a bridge", "create network", answer(forbidden, "cannot create network "+id+" (br-5f3c5b1e0d9a): conflicts with network "+id+" (br-0d9a5f3c5b1e): networks have overlapping IPv4"), SubnetTaken, 0},
		{"disk full", "create container", answer(internal, "write /var/lib/docker/overlay2/x: no space left on device"), NoSpace, 0},
		{"volume in use", "remove volume", answer(conflict, "remove x: volume is in use - ["+id+"]"), InUse, 0},
		{"network in use", "remove network", answer(forbidden, `error while removing network: network x id `+id+` has active endpoints`), InUse, 0},
		{"network in use, 28", "remove network", answer(forbidden, `error while removing network: network x has active endpoints (name:"c" id:"5f3c5b1e0d9a")`), InUse, 0},
		{"exec in a stopped container", opExec, answer(conflict, "Container "+id+" is not running"), NotRunning, 0},
		{"exec in a stopped container, 28", opExec, answer(conflict, "container "+id+" is not running"), NotRunning, 0},
		{"exec in a paused container", opExec, answer(conflict, "Container "+id+" is paused, unpause the container before exec"), NotRunning, 0},
		{"exec in a restarting container", opExec, answer(conflict, "Container "+id+" is restarting, wait until the container is running"), NotRunning, 0},
		{"container stopped during an exec", opExec, answer(notFound, "No such exec instance: "+id), NotRunning, 0},
		{"unpause of a running container", "unpause container", answer(internal, "Container x is not paused"), Other, 0},
		{"Docker Desktop is starting", "inspect container", answer(cerrdefs.ErrUnavailable, "request returned 503 Service Unavailable"), Unreachable, 0},
		{"refused", "inspect container", &net.OpError{Op: "dial", Net: "unix", Err: syscall.ECONNREFUSED}, Unreachable, 0},
		{"broken connection", "inspect container", fmt.Errorf("error during connect: %w", io.ErrUnexpectedEOF), Unreachable, 0},
		{"cancelled", "inspect container", context.Canceled, Other, 0},
		{"something else", opStart, answer(internal, "OCI runtime create failed: exec: no such file or directory"), Other, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := (&engine{ep: endpoint{host: "unix:///var/run/docker.sock"}}).fail(tc.op, "x", tc.err)
			var e *Error
			if !errors.As(err, &e) || e.Kind != tc.kind || e.Port != tc.port {
				t.Errorf("kind %q port %d, want %q %d: %v", e.Kind, e.Port, tc.kind, tc.port, err)
			}
			if !errors.Is(err, tc.err) {
				t.Errorf("the cause is lost: %v", err)
			}
		})
	}
}

func TestOnlyOnePredicateHoldsButForAbsentFiles(t *testing.T) {
	for _, kind := range []Kind{Other, NotFound, FileNotFound, Conflict, PortInUse, NetworkMissing, SubnetTaken, NoSpace, InUse, NotRunning, Unreachable} {
		err := fmt.Errorf("wrapped: %w", NewError(kind, "op", "x", "cause"))
		n := 0
		for _, is := range []func(error) bool{
			IsNotFound, IsFileNotFound, IsConflict, IsPortInUse, IsNetworkMissing, IsSubnetTaken, IsNoSpace, IsInUse, IsNotRunning, IsUnreachable,
		} {
			if is(err) {
				n++
			}
		}
		want := map[Kind]int{Other: 0, FileNotFound: 2}
		w, special := want[kind]
		if !special {
			w = 1
		}
		if n != w {
			t.Errorf("%s: %d predicates hold, want %d", kind, n, w)
		}
	}
}

func FuzzClassify(f *testing.F) {
	f.Add(opStart, "Bind for 127.0.0.1:8080 failed: port is already allocated")
	f.Add(opStart, "failed to bind host port for [::1]:99999:172.18.0.2:80/tcp: address already in use")
	f.Add(opReadFile, "network x not found")
	f.Fuzz(func(t *testing.T, op, msg string) {
		kind, port := classify(op, errors.New(msg))
		if port < 0 || port > 65535 || (port != 0 && kind != PortInUse) {
			t.Errorf("kind %q, port %d", kind, port)
		}
		if kind == Unreachable {
			t.Error("no words of the engine make it unreachable")
		}
	})
}
