package bootstrap

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/docker/dockertest"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/hostconfig"
	"openshell.ai/openshell/pkg/nodeapi"
)

var _ Host = (*hostconfig.Store)(nil)

const (
	rigVersion = "v0.3.0"
	rigImage   = DefaultImage + ":" + rigVersion
	caFile     = "current/etcd/ca" // the rig's cluster keeps its CA there
	damageFile = "current/etcd/damaged"
)

var resource = testName.Resource()

// rig is a gateway without a real node: the engine is in memory, the host's
// files are in a temporary directory, and the node is played by the fields.
type rig struct {
	t      *testing.T
	engine *dockertest.Fake
	root   string // of the host's files
	host   *hostconfig.Store
	m      *Manager
	events []Event

	mu         sync.Mutex
	boot       []nodeapi.Milestone // reached at once after a start
	bootPause  time.Duration       // before each milestone
	sick       error               // what the endpoint answers; nil: healthy once booted
	failure    *nodeapi.Failure    // the node gives up
	frozen     bool                // the node does not answer
	asking     time.Duration       // what a question to the node takes
	crash      bool                // the node ends whenever it is started
	clusterErr error
	clusterFix []string      // what a reconcile reports as changed
	rolled     bool          // a reconcile restarts the server
	onRoll     func()        // with the lock held
	rollout    time.Duration // how long that takes
	serial     int           // of CAs made
	held       map[int]string
	routes     []HostRange
	away       string // an address that this host does not have
	nodeNow    func() time.Time
	edge       *nodeapi.Edge // nil: the image has none
	onEdge     func(argv, env []string, out, complaint io.Writer) int
}

var fullBoot = []nodeapi.Milestone{nodeapi.Mounts, nodeapi.Containerd, nodeapi.Etcd, nodeapi.API, nodeapi.Node, nodeapi.Secrets,
	nodeapi.Chart, nodeapi.Workload, nodeapi.Endpoint}

func newRig(t *testing.T) *rig {
	t.Helper()
	root := t.TempDir()
	r := &rig{
		t: t, engine: dockertest.New(), root: root, host: hostconfig.New(root),
		boot: fullBoot, bootPause: 100 * time.Millisecond, held: map[int]string{}, nodeNow: time.Now,
	}
	r.engine.AddImage(map[string]string{imageLabel: imageKind, imageVersionLabel: rigVersion}, rigImage)
	r.engine.OnStart(r.started)
	r.engine.OnExec(r.exec)
	r.m = New(Deps{Engine: r.engine, Host: r.host, Version: rigVersion, Cluster: r, Node: r, Prober: r, System: r})
	return r
}

// inTime runs a test with time that passes only while everything waits.
func inTime(t *testing.T, test func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, newRig(t)) })
}

func (r *rig) Event(e Event) { r.events = append(r.events, e) }

func (r *rig) start(opts StartOptions) (StartResult, error) {
	opts.Name = testName
	r.events = nil
	return r.m.Start(r.t.Context(), opts, r)
}

// mustStart starts, checks that the gateway is healthy, and returns the result.
func (r *rig) mustStart(opts StartOptions) StartResult {
	r.t.Helper()
	res, err := r.start(opts)
	if err != nil {
		r.t.Fatalf("start: %v\nhints: %q\ncalls: %v", err, hints(err), r.engine.Changes())
	}
	if err := r.m.probe(r.t.Context(), testName, res.Endpoint); err != nil {
		r.t.Fatalf("start succeeded, but the endpoint says: %v", err)
	}
	return res
}

// mustFail starts and returns the failure, which has to have the id.
func (r *rig) mustFail(opts StartOptions, id fault.ID) *fault.Error {
	r.t.Helper()
	_, err := r.start(opts)
	var e *fault.Error
	if !errors.As(err, &e) || e.ID != id {
		r.t.Fatalf("start: got %v, want a failure %s", err, id)
	}
	return e
}

func hints(err error) []string {
	var e *fault.Error
	if errors.As(err, &e) {
		return e.Hints
	}
	return nil
}

// identity is what must survive: the CA that the cluster keeps on the volume.
func (r *rig) identity() string { return string(r.engine.VolumeFiles(resource)[caFile].Data) }

func (r *rig) container() (docker.Container, bool) { return r.engine.Inspect(resource) }

// leftovers are all resources of the gateway.
func (r *rig) leftovers() []string {
	var out []string
	for _, ref := range []string{resource, helperName(testName)} {
		if _, ok := r.engine.Inspect(ref); ok {
			out = append(out, "container "+ref)
		}
	}
	if r.engine.VolumeFiles(resource) != nil {
		out = append(out, "volume")
	}
	if _, err := r.engine.Network(r.t.Context(), resource); err == nil {
		out = append(out, "network")
	}
	if _, err := r.host.Bundle(testName); err == nil {
		out = append(out, "bundle")
	}
	return out
}

// started plays a container's process: a helper's command, or the node.
func (r *rig) started(f *dockertest.Fake, c docker.Container) {
	spec := f.Spec(c.ID)
	if len(spec.Entrypoint) > 0 {
		f.Exit(c.ID, r.helper(f, c.ID, spec.Entrypoint))
		return
	}
	r.mu.Lock()
	crash := r.crash
	r.mu.Unlock()
	if crash {
		f.Log(c.ID, "etcd: disk quota exceeded")
		f.SetState(c.ID, docker.StateRestarting)
		f.Edit(c.ID, func(c *docker.Container) { c.Restarts += 3 })
	}
}

func (r *rig) helper(f *dockertest.Fake, id string, argv []string) int {
	switch strings.Join(argv[:min(3, len(argv))], " ") {
	case "find " + stateMount + " -mindepth":
		seen := map[string]bool{}
		for p := range f.VolumeFiles(resource) {
			parts := strings.SplitN(p, "/", 3)
			seen[parts[0]] = true
			seen[path.Join(parts[:min(2, len(parts))]...)] = true
		}
		for p := range seen {
			f.Log(id, p)
		}
	case "rm -rf " + nodeapi.Current:
		for p := range f.VolumeFiles(resource) {
			if strings.HasPrefix(p, "current/") {
				f.PutVolumeFile(resource, p, 0, nil)
			}
		}
	case nodeapi.Binary + " volume asides":
		f.Log(id, string(r.asides(f)))
	case nodeapi.Binary + " volume set-aside":
		if !f.MoveVolumeDir(resource, "current", argv[3]) {
			f.Log(id, "no present state")
			return 1
		}
	case nodeapi.Binary + " volume restore":
		if strings.HasPrefix(argv[3], nodeapi.SnapshotPrefix) {
			f.PutVolumeFile(resource, damageFile, 0, nil) // made anew
			f.Log(id, fmt.Sprintf(`{"aside":%q}`, argv[4]))
			break
		}
		if !f.MoveVolumeDir(resource, "current", argv[4]) {
			argv[4] = ""
		}
		f.MoveVolumeDir(resource, argv[3], "current")
		f.Log(id, fmt.Sprintf(`{"aside":%q}`, argv[4]))
	default:
		f.Log(id, "unknown command "+strings.Join(argv, " "))
		return 127
	}
	return 0
}

func (r *rig) asides(f *dockertest.Fake) []byte {
	names := map[string]nodeapi.Aside{}
	for p := range f.VolumeFiles(resource) {
		if dir, _, _ := strings.Cut(p, "/"); strings.HasPrefix(dir, nodeapi.AsidePrefix) {
			names[dir] = nodeapi.Aside{Name: dir}
		}
		if file, ok := strings.CutPrefix(p, "current/snapshots/"); ok {
			name := strings.TrimSuffix(file, nodeapi.SnapshotSuffix)
			_, at, _ := nodeapi.ParseState(name)
			names[name] = nodeapi.Aside{Name: name, At: at}
		}
	}
	out := []nodeapi.Aside{}
	for _, a := range names {
		out = append(out, a)
	}
	data, err := json.Marshal(out)
	if err != nil {
		r.t.Error(err)
	}
	return data
}

func (r *rig) exec(f *dockertest.Fake, _ docker.Container, spec docker.ExecSpec) (int, error) {
	if slices.Equal(spec.Argv, []string{nodeapi.Binary, nodeapi.CmdVolume, "asides"}) {
		_, err := spec.Stdout.Write(r.asides(f))
		return 0, err
	}
	if r.onEdge != nil && spec.Argv[1] == nodeapi.CmdEdge {
		return r.onEdge(spec.Argv[2:], spec.Env, spec.Stdout, spec.Stderr), nil
	}
	_, err := fmt.Fprintln(spec.Stdout, strings.Join(spec.Argv, " "))
	return 7, err
}

// Status implements Node.
func (r *rig) Status(ctx context.Context, _ string) (nodeapi.Status, error) {
	if r.frozen {
		<-ctx.Done()
		return nodeapi.Status{}, ctx.Err()
	}
	if !sleep(ctx, r.asking) {
		return nodeapi.Status{}, ctx.Err()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.isDamaged() {
		return nodeapi.Status{Phase: nodeapi.Failed, Now: r.nodeNow(), Failure: &unreadable}, nil
	}
	if r.sick != nil {
		return nodeapi.Status{Phase: nodeapi.Degraded, Now: r.nodeNow(), Checks: []nodeapi.Check{{ID: "workload", Message: "openshell-0 is not ready"}}}, nil
	}
	return nodeapi.Status{Phase: nodeapi.Serving, Now: r.nodeNow(), Checks: []nodeapi.Check{{ID: "api", OK: true}}, Edge: r.edge}, nil
}

// Watch implements Node: a boot with its milestones.
func (r *rig) Watch(ctx context.Context, container string, report func(nodeapi.Status)) error {
	r.mu.Lock()
	boot, pause, failure := r.boot, r.bootPause, r.failure
	r.mu.Unlock()
	if r.isDamaged() {
		boot, failure = boot[:2], &unreadable
	}
	s := nodeapi.Status{Phase: nodeapi.Booting, Now: r.nodeNow()}
	for i, m := range boot {
		if c, ok := r.engine.Inspect(container); !ok || c.State != docker.StateRunning {
			return nil
		}
		if !sleep(ctx, pause) {
			return nil
		}
		s.Milestones = append(s.Milestones, nodeapi.Reached{Name: m, AfterMS: int64(i+1) * pause.Milliseconds()})
		r.engine.PutFile(container, "/run/booted", 0o600, []byte(m))
		report(s)
	}
	if failure != nil {
		s.Phase, s.Failure = nodeapi.Failed, failure
		report(s)
	}
	<-ctx.Done()
	return nil
}

var unreadable = nodeapi.Failure{ID: nodeapi.FailureStateUnreadable, Message: "etcd: wal: crc mismatch"}

// isDamaged reports that the node cannot read the present state.
func (r *rig) isDamaged() bool {
	_, damaged := r.engine.VolumeFiles(resource)[damageFile]
	return damaged
}

func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// Ready implements Prober: the container runs, the bundle on the host is of the
// cluster's CA, and nothing is said to be sick.
func (r *rig) Ready(_ context.Context, endpoint string, b hostconfig.Bundle) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, ok := r.engine.Inspect(resource)
	switch {
	case !ok || c.State != docker.StateRunning:
		return errors.New("connection refused")
	case endpointOf(c.Ports) != endpoint:
		return fmt.Errorf("nothing at %s", endpoint)
	case r.sick != nil:
		return r.sick
	case r.isDamaged():
		return errors.New("connection refused")
	case string(b.CA) != string(r.engine.VolumeFiles(resource)[caFile].Data):
		return errors.New("x509: certificate signed by unknown authority")
	}
	return nil
}

// Certificate implements Prober.
func (r *rig) Certificate(ctx context.Context, endpoint string, b hostconfig.Bundle) (CertStatus, error) {
	return CertStatus{NotAfter: noon, SANs: []string{"localhost"}, HostCopyMatches: r.Ready(ctx, endpoint, b) == nil}, nil
}

// Connect implements Connector.
func (r *rig) Connect(context.Context, *Session) (Cluster, error) { return rigCluster{r}, nil }

// Open implements Connector.
func (r *rig) Open(context.Context, string) (*Session, error) { return &Session{Edge: r.edge}, nil }

type rigCluster struct{ *rig }

func (rigCluster) Close() error { return nil }

// Reconcile implements Cluster: it makes a CA where there is none.
func (c rigCluster) Reconcile(context.Context, ClusterWant) (ClusterResult, error) {
	r := c.rig
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.clusterErr != nil {
		return ClusterResult{}, r.clusterErr
	}
	out := ClusterResult{Changed: r.clusterFix, Rolled: r.rolled}
	if r.rolled {
		r.onRoll()
	}
	ca, ok := r.engine.VolumeFiles(resource)[caFile]
	if !ok {
		r.serial++
		ca.Data = fmt.Appendf(nil, "CA %d", r.serial)
		r.engine.PutVolumeFile(resource, caFile, 0o600, ca.Data)
		out.Changed = append(out.Changed, "secret openshell-system/openshell-ca: it was missing")
	}
	out.Bundle = hostconfig.Bundle{CA: ca.Data, Cert: []byte("cert"), Key: []byte("key")}
	return out, nil
}

// AwaitRollout implements Cluster.
func (c rigCluster) AwaitRollout(ctx context.Context) error {
	if !sleep(ctx, c.rollout) {
		return ctx.Err()
	}
	return nil
}

// PortHolder implements System.
func (r *rig) PortHolder(_ string, port int, _ string) (string, bool) {
	by, taken := r.held[port]
	return by, taken
}

// HasAddress implements System.
func (r *rig) HasAddress(address string) bool { return address != r.away }

// Ranges implements System.
func (r *rig) Ranges() ([]HostRange, error) { return r.routes, nil }
