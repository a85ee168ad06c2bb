package bootstrap

import (
	"context"
	"errors"
	"net/netip"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/gateway"
	"openshell.ai/openshell/pkg/hostconfig"
	"openshell.ai/openshell/pkg/nodeapi"
	"openshell.ai/openshell/pkg/nodeclient"
)

// DefaultImage is the repository of the node image; its tag is the version.
const DefaultImage = "openshell/cluster"

// Labels of a node image.
const (
	imageLabel        = "openshell.ai/image" // value imageKind
	imageKind         = "cluster"
	imageVersionLabel = "org.opencontainers.image.version"
)

// Deps are what a Manager works with. Engine, Host and Version are required;
// the others have defaults that New fills in.
type Deps struct {
	Engine  docker.Engine
	Host    Host
	Version string // of this openshell; names the default node image

	Cluster Connector // the Kubernetes API; default: by exec in the container
	Node    Node      // the node's own report; default: by exec in the container
	Prober  Prober    // the gateway's endpoint; default: HTTPS
	System  System    // ports and routes of this host; default: the real ones
}

// Host keeps the gateway's files on the host. *hostconfig.Store is it. What is
// not there is an error that is fs.ErrNotExist.
type Host interface {
	LockDomain() string // the same for all who share the locks
	Bundle(name gateway.Name) (hostconfig.Bundle, error)
	WriteBundle(name gateway.Name, b hostconfig.Bundle) (changed bool, err error)
	Metadata(name gateway.Name) (hostconfig.Metadata, error)
	WriteMetadata(name gateway.Name, m hostconfig.Metadata) (changed bool, err error)
	Remove(name gateway.Name) error
	Active() (gateway.Name, error)
	SetActive(name gateway.Name) error
	ClearActive(name gateway.Name) error
	Names() ([]gateway.Name, error)
	Lock(ctx context.Context, name gateway.Name, waiting func(holder string)) (unlock func(), err error)
	SaveFailure(name gateway.Name, content []byte) (path string, err error)
}

// Node reads the report of openshell-node in a running container.
type Node interface {
	// Status is one report.
	Status(ctx context.Context, container string) (nodeapi.Status, error)
	// Watch calls report with every change until the stream or ctx ends. An
	// end of the stream is no error: the node may be about to come up.
	Watch(ctx context.Context, container string, report func(nodeapi.Status)) error
}

// Prober asks a gateway's endpoint whether it is healthy.
type Prober interface {
	// Ready returns nil when GET endpoint/readyz answers 200 over mTLS with
	// the bundle. It takes two seconds at most.
	Ready(ctx context.Context, endpoint string, b hostconfig.Bundle) error
	// Certificate describes the certificate that the endpoint shows, whether
	// or not it verifies with the bundle.
	Certificate(ctx context.Context, endpoint string, b hostconfig.Bundle) (CertStatus, error)
}

// System is what a plan needs to know of this host.
type System interface {
	// PortHolder names who listens on a port; taken is false when it is free.
	PortHolder(bind string, port int, proto string) (holder string, taken bool)
	// HasAddress reports whether ports can be published on an address.
	HasAddress(address string) bool
	// Ranges are the address ranges of the host's interfaces and routes.
	Ranges() ([]HostRange, error)
}

// HostRange is a range of addresses that the host reaches by an interface.
type HostRange struct {
	Prefix    netip.Prefix
	Interface string // may be empty where the system does not say
}

// ErrNoAnswer is in the chain of an error of a Connector or a Cluster that says
// no more than that the Kubernetes API gave no answer, and may yet.
var ErrNoAnswer = errors.New("the Kubernetes API does not answer")

// Connector reaches the Kubernetes API of a gateway, which must be answering.
type Connector interface {
	// Open gets the credentials of the node's present boot, and the connection
	// they came over. It takes as long as everything else a start on a running
	// gateway does, so it is a step of its own that can be taken early.
	Open(ctx context.Context, container string) (*Session, error)
	// Connect uses a session up: the Cluster closes it.
	Connect(ctx context.Context, s *Session) (Cluster, error)
}

// Cluster is round two: what a gateway keeps in Kubernetes.
type Cluster interface {
	// Reconcile removes records of nodes other than the wanted one, makes
	// namespaces and Secrets what they should be, and rolls the workload when a
	// Secret it had already read was replaced.
	Reconcile(ctx context.Context, want ClusterWant) (ClusterResult, error)
	// AwaitRollout returns when the workload that Reconcile rolled is the new one.
	AwaitRollout(ctx context.Context) error
	Close() error
}

// ClusterWant is what a cluster should be like.
type ClusterWant struct {
	NodeName string
	Hosts    []string // SANs of the server certificate beyond the fixed ones
}

// ClusterResult is what a reconcile did.
type ClusterResult struct {
	Bundle   hostconfig.Bundle // what the host's mTLS files must hold
	Changed  []string          // what was created, repaired or removed, one phrase each
	Rolled   bool              // the workload was restarted to read new Secrets
	Warnings []string
}

// Manager implements Gateways.
type Manager struct {
	Deps
}

// New returns a Manager.
func New(d Deps) *Manager {
	if d.Cluster == nil {
		d.Cluster = EngineConnector{Engine: d.Engine}
	}
	if d.Node == nil {
		d.Node = nodeclient.Client{Engine: d.Engine}
	}
	if d.Prober == nil {
		d.Prober = httpsProber{}
	}
	if d.System == nil {
		d.System = localSystem{}
	}
	return &Manager{d}
}

// defaultImageRef is the node image that belongs to this openshell.
func (m *Manager) defaultImageRef() string { return DefaultImage + ":" + m.Version }
