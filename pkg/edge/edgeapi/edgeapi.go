// Package edgeapi holds the documents that app-gateway answers and takes. It
// imports nothing beyond the standard library: the CLI reads them on the laptop.
package edgeapi

import (
	"net/netip"
	"time"
)

// Paths on the control socket.
const (
	RoutesPath = "/v1/routes"
	VPNPath    = "/v1/vpn"
	StatePath  = "/v1/state"
)

// Paths behind nginx.
const (
	PingPath      = "/collab/ping"
	EventPath     = "/collab/event"
	VPNConfigPath = "/collab/vpn-config" // ?container=ID
	StartPath     = "/collab/start"
)

// Kinds of routes.
const (
	KindSandbox   = "sandbox"
	KindContainer = "container"
)

// States of routes.
const (
	RouteLive     = "live"
	RouteDown     = "down"     // the visitor is told so
	RouteConflict = "conflict" // the name belongs to another owner
)

// Route is one name under which nginx leads to a service, or would.
type Route struct {
	Host    string     `json:"host"`
	Kind    string     `json:"kind"`
	Owner   string     `json:"owner"` // its name
	OwnerID string     `json:"ownerId"`
	IP      netip.Addr `json:"ip,omitzero"`
	Port    uint16     `json:"port"`
	State   string     `json:"state"`
	Message string     `json:"message,omitempty"`
}

// States of the VPN.
const (
	VPNUp   = "up"
	VPNDown = "down"
)

// VPN is the state of the VPN and of the user containers that may join it.
type VPN struct {
	State   string      `json:"state"`
	Port    uint16      `json:"port,omitzero"`
	Clients []VPNClient `json:"clients"`
}

// VPNClient is a user container.
type VPNClient struct {
	ID        string       `json:"id"`
	Name      string       `json:"name"`
	Kind      string       `json:"kind,omitempty"` // KindContainer: `openshell container run` registered it
	Address   netip.Addr   `json:"address,omitzero"`
	Connected bool         `json:"connected"`
	Since     time.Time    `json:"since,omitzero"`
	Services  []VPNService `json:"services,omitempty"`
}

// VPNService is a service that a user container offers.
type VPNService struct {
	Host string `json:"host"`
	Port uint16 `json:"port"`
}

// States of a gateway.
const (
	StateStarting  = "starting"
	StateReady     = "ready"  // in the pool
	StateActive    = "active" // allocated, or stand-alone
	StateDraining  = "draining"
	StateResetting = "resetting"
)

// State is what app-gateway is doing.
type State struct {
	GatewayID    string `json:"gateway_id"`
	Build        string `json:"build"`
	State        string `json:"state"`
	Epoch        int64  `json:"epoch"`
	Organization string `json:"organization_id,omitempty"`
	StandAlone   bool   `json:"stand_alone"`

	IdleSeconds int64 `json:"idle_seconds"`
	// ResetInSeconds counts down to the reset of an idle gateway; nil without one.
	ResetInSeconds *int64 `json:"reset_in_seconds,omitempty"`

	Routes   int      `json:"routes"`
	Spooled  int      `json:"spooled"`            // pushes to send later
	Problems []string `json:"problems,omitempty"` // what a person should look at
}

// Ping is the answer to a ping.
type Ping struct {
	GatewayID string `json:"gateway_id"`
	Build     string `json:"build"`
	State     string `json:"state"`
}

// Types of events.
const (
	EventWatchdog       = "watchdog"         // the container is alive
	EventMapHTTPService = "map-http-service" // and serves HTTP on a port
)

// Event is what a user container reports, with its token as the bearer.
type Event struct {
	Type      string `json:"type"`
	Container string `json:"container"` // its id
	Host      string `json:"host,omitempty"`
	Port      uint16 `json:"port,omitempty"`
}

// EventAnswer tells a container which of its services are routed.
type EventAnswer struct {
	Status string  `json:"status"` // "ok"
	Routes []Route `json:"routes"`
}

// Error is the answer to what was refused.
type Error struct {
	Error string `json:"error"`
}
