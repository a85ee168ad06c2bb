package health

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"openshell.ai/openshell/deploy/node/internal/layout"
	"openshell.ai/openshell/pkg/nodeapi"
)

// Ids of the checks, in the order they are reported.
const (
	API             = "api"
	Node            = "node"
	TLSSecrets      = "tls-secrets"
	HandshakeSecret = "handshake-secret"
	Workload        = "workload"
	Endpoint        = "endpoint"
)

const dialTimeout = 500 * time.Millisecond

// reader is the part of Client the checks need.
type reader interface {
	Readable(context.Context) error
	get(ctx context.Context, path string, out any, fine ...error) error
}

// Checks looks at one node.
type Checks struct {
	client reader
	node   string
	ip     netip.Addr
	booted time.Time
	volume string
}

// New returns the checks of the node with that name and address. The API
// remembers the node and the workload of former boots: only what was reported
// since booted counts.
func New(client *Client, node string, ip netip.Addr, booted time.Time) *Checks {
	// The API's times are whole seconds.
	return &Checks{client: client, node: node, ip: ip, booted: booted.Truncate(time.Second), volume: nodeapi.VolumeRoot}
}

// Check runs every check. Without the API the others are not asked.
func (c *Checks) Check(ctx context.Context) []nodeapi.Check {
	checks := []struct {
		id  string
		run func(context.Context) error
	}{
		{API, c.client.Readable}, {Node, c.nodeReady}, {TLSSecrets, c.tlsSecrets},
		{HandshakeSecret, c.handshakeSecret}, {Workload, c.workload}, {Endpoint, c.endpoint},
	}
	results := make([]nodeapi.Check, len(checks))
	down := false
	for i, check := range checks {
		results[i] = nodeapi.Check{ID: check.id}
		if down {
			results[i].Message = "the Kubernetes API does not answer"
			continue
		}
		err := check.run(ctx)
		results[i].OK = err == nil
		if err != nil {
			results[i].Message = err.Error()
			down = check.id == API
		}
	}
	return results
}

func (c *Checks) nodeReady(ctx context.Context) error {
	var node struct {
		Status struct {
			Conditions []struct {
				Type, Status, Message string
				LastHeartbeatTime     time.Time
			}
		}
	}
	err := c.client.get(ctx, "/api/v1/nodes/"+c.node, &node)
	if errors.Is(err, errAbsent) {
		return errors.New("the kubelet has not registered yet")
	}
	if err != nil {
		return err
	}
	ready := false
	for _, condition := range node.Status.Conditions {
		switch {
		case condition.Type == "Ready":
			if condition.Status != "True" {
				return fmt.Errorf("node is not ready: %s", condition.Message)
			}
			ready = !condition.LastHeartbeatTime.Before(c.booted)
		case strings.HasSuffix(condition.Type, "Pressure") && condition.Status == "True":
			return fmt.Errorf("node has %s: %s", condition.Type, condition.Message)
		}
	}
	if !ready {
		return errors.New("the kubelet has not reported yet")
	}
	return c.room()
}

// minRoom is what etcd needs to go on: a segment of its log, and its database
// once more while it is compacted.
const minRoom = 512 << 20

// room looks at the volume, which the kubelet was told not to watch.
func (c *Checks) room() error {
	var fs unix.Statfs_t
	if err := unix.Statfs(c.volume, &fs); err != nil {
		return fmt.Errorf("volume: %w", err)
	}
	if free := fs.Bavail * uint64(fs.Bsize); free < minRoom {
		return fmt.Errorf("less than %d MiB are left on the volume", minRoom>>20)
	}
	if fs.Files > 0 && fs.Ffree == 0 {
		return errors.New("no inode is left on the volume")
	}
	return nil
}

// secret returns the data of a Secret in the gateway's namespace.
func secret(ctx context.Context, client reader, name string) (map[string][]byte, error) {
	var secret struct{ Data map[string][]byte }
	err := client.get(ctx, "/api/v1/namespaces/"+layout.GatewayNamespace+"/secrets/"+name, &secret)
	if errors.Is(err, errAbsent) {
		return nil, fmt.Errorf("secret %s is missing", name)
	}
	return secret.Data, err
}

func (c *Checks) tlsSecrets(ctx context.Context) error {
	for name, keys := range map[string][]string{
		"openshell-server-tls":       {"tls.crt", "tls.key"},
		"openshell-server-client-ca": {"ca.crt"},
		"openshell-client-tls":       {"tls.crt", "tls.key", "ca.crt"},
	} {
		data, err := secret(ctx, c.client, name)
		if err != nil {
			return err
		}
		for _, key := range keys {
			if len(data[key]) == 0 {
				return fmt.Errorf("secret %s has no %s", name, key)
			}
		}
	}
	return nil
}

// handshakeBytes is the length of the key, which is stored as hexadecimal.
const handshakeBytes = 32

func (c *Checks) handshakeSecret(ctx context.Context) error {
	data, err := secret(ctx, c.client, "openshell-ssh-handshake")
	if err != nil {
		return err
	}
	key, err := hex.DecodeString(string(data["secret"]))
	if err != nil || len(key) != handshakeBytes {
		return fmt.Errorf("secret openshell-ssh-handshake does not hold %d hexadecimal characters", 2*handshakeBytes)
	}
	return nil
}

func (c *Checks) workload(ctx context.Context) error {
	var pod struct {
		Status struct {
			ContainerStatuses []struct {
				Ready bool
				State struct {
					Running *struct{ StartedAt time.Time }
					Waiting *struct{ Reason, Message string }
				}
			}
		}
	}
	err := c.client.get(ctx, "/api/v1/namespaces/"+layout.GatewayNamespace+"/pods/openshell-0", &pod)
	if errors.Is(err, errAbsent) {
		return errors.New("the gateway server is not deployed yet")
	}
	if err != nil {
		return err
	}
	for _, container := range pod.Status.ContainerStatuses {
		if w := container.State.Waiting; w != nil && w.Message != "" {
			return fmt.Errorf("the gateway server does not start: %s: %s", w.Reason, w.Message)
		}
		running := container.State.Running
		if !container.Ready || running == nil || running.StartedAt.Before(c.booted) {
			return errors.New("the gateway server is not ready")
		}
	}
	if len(pod.Status.ContainerStatuses) == 0 {
		return errors.New("the gateway server is not started yet")
	}
	return nil
}

// endpoint connects to the node's own address: kube-proxy in nftables mode
// serves no NodePort on the loopback.
func (c *Checks) endpoint(ctx context.Context) error {
	dialer := net.Dialer{Timeout: dialTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(c.ip.String(), strconv.Itoa(nodeapi.GatewayPort)))
	if err != nil {
		return err
	}
	return conn.Close()
}
