package health

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var booted = time.Date(2026, 11, 21, 21, 0, 0, 500, time.UTC)

// api answers with documents by path.
type api struct {
	documents map[string]string
	down      error
}

func (a api) Readable(context.Context) error { return a.down }

func (a api) get(_ context.Context, path string, out any, _ ...error) error {
	document, ok := a.documents[path]
	if !ok {
		return errAbsent
	}
	return json.Unmarshal([]byte(document), out)
}

const (
	nodePath      = "/api/v1/nodes/n"
	podPath       = "/api/v1/namespaces/openshell/pods/openshell-0"
	secrets       = "/api/v1/namespaces/openshell/secrets/"
	handshakePath = secrets + "openshell-ssh-handshake"
	readyNode     = `{"status":{"conditions":[{"type":"DiskPressure","status":"False"},{"type":"Ready","status":"True","lastHeartbeatTime":"2026-11-21T21:00:01Z"}]}}`
	readyPod      = `{"status":{"containerStatuses":[{"ready":true,"state":{"running":{"startedAt":"2026-11-21T21:00:02Z"}}}]}}`
	// 64 characters "a", in base64.
	handshake = `{"data":{"secret":"YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYQ=="}}`
	full      = `{"data":{"tls.crt":"eA==","tls.key":"eA==","ca.crt":"eA=="}}`
)

func healthy() map[string]string {
	return map[string]string{
		nodePath: readyNode, podPath: readyPod, handshakePath: handshake,
		secrets + "openshell-server-tls": full, secrets + "openshell-server-client-ca": full, secrets + "openshell-client-tls": full,
	}
}

// failing maps the checks that fail to what they say; the endpoint's message
// is the system's and is left out.
func failing(t *testing.T, a api, ip netip.Addr) map[string]string {
	t.Helper()
	c := &Checks{client: a, node: "n", ip: ip, booted: booted.Truncate(time.Second), volume: t.TempDir()}
	got := map[string]string{}
	for _, check := range c.Check(t.Context()) {
		if !check.OK {
			got[check.ID] = check.Message
		}
	}
	if _, ok := got[Endpoint]; ok && a.down == nil {
		got[Endpoint] = "refused"
	}
	return got
}

func TestChecks(t *testing.T) {
	nobody := netip.MustParseAddr("127.0.0.1") // nothing listens on the NodePort here
	for name, test := range map[string]struct {
		change func(map[string]string)
		want   map[string]string
	}{
		"all well": {func(map[string]string) {}, map[string]string{}},
		"handshake secret missing": {func(d map[string]string) { delete(d, handshakePath) },
			map[string]string{HandshakeSecret: "secret openshell-ssh-handshake is missing"}},
		"handshake secret too short": {func(d map[string]string) { d[handshakePath] = `{"data":{"secret":"YWE="}}` },
			map[string]string{HandshakeSecret: "secret openshell-ssh-handshake does not hold 64 hexadecimal characters"}},
		"a TLS secret without its key": {func(d map[string]string) {
			d[secrets+"openshell-client-tls"] = `{"data":{"tls.crt":"eA==","ca.crt":"eA=="}}`
		}, map[string]string{TLSSecrets: "secret openshell-client-tls has no tls.key"}},
		"node of an earlier boot": {func(d map[string]string) { d[nodePath] = strings.Replace(readyNode, "21:00:01", "20:59:59", 1) },
			map[string]string{Node: "the kubelet has not reported yet"}},
		"disk pressure": {func(d map[string]string) {
			d[nodePath] = strings.Replace(readyNode, `"DiskPressure","status":"False"`, `"DiskPressure","status":"True","message":"full"`, 1)
		}, map[string]string{Node: "node has DiskPressure: full"}},
		"no node": {func(d map[string]string) { delete(d, nodePath) },
			map[string]string{Node: "the kubelet has not registered yet"}},
		"workload of an earlier boot": {func(d map[string]string) { d[podPath] = strings.Replace(readyPod, "21:00:02", "20:00:00", 1) },
			map[string]string{Workload: "the gateway server is not ready"}},
		"workload cannot start": {func(d map[string]string) {
			d[podPath] = `{"status":{"containerStatuses":[{"state":{"waiting":{"reason":"CrashLoopBackOff","message":"back-off"}}}]}}`
		}, map[string]string{Workload: "the gateway server does not start: CrashLoopBackOff: back-off"}},
		"no workload": {func(d map[string]string) { delete(d, podPath) },
			map[string]string{Workload: "the gateway server is not deployed yet"}},
	} {
		t.Run(name, func(t *testing.T) {
			documents := healthy()
			test.change(documents)
			test.want[Endpoint] = "refused"
			if diff := cmp.Diff(test.want, failing(t, api{documents: documents}, nobody)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWithoutTheAPINothingElseIsAsked(t *testing.T) {
	got := failing(t, api{down: errors.New("connection refused")}, netip.MustParseAddr("127.0.0.1"))
	if got[API] != "connection refused" {
		t.Errorf("api check says %q", got[API])
	}
	for _, id := range []string{Node, TLSSecrets, HandshakeSecret, Workload, Endpoint} {
		if got[id] != "the Kubernetes API does not answer" {
			t.Errorf("%s check says %q", id, got[id])
		}
	}
}

func TestEndpointConnects(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.31:30051")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	got := failing(t, api{documents: healthy()}, netip.MustParseAddr("127.0.0.31"))
	if diff := cmp.Diff(map[string]string{}, got); diff != "" {
		t.Error(diff)
	}
}
