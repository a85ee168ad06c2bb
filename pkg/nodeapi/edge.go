package nodeapi

import "time"

// Edge is how the edge of a gateway is: nginx, OpenVPN and app-gateway. It has
// no part in the health of the gateway, which is that of its API.
type Edge struct {
	State   EdgeState `json:"state"`
	Message string    `json:"message,omitempty"` // why it is not ready, one line
	Since   time.Time `json:"since"`             // when it became ready, or ceased to be
}

// EdgeState is what the edge is doing.
type EdgeState string

// The states of the edge.
const (
	EdgeOff      EdgeState = "off"      // the node is stopping
	EdgeStarting EdgeState = "starting" // it is being brought up, or comes back by itself
	EdgeReady    EdgeState = "ready"
	EdgeFailed   EdgeState = "failed" // nothing but a reset brings it back
)

// EdgeComponent is the name of the edge's Component.
const EdgeComponent = "edge"

// EdgePatience is how long an edge may take to come up, or to come back by
// itself.
const EdgePatience = 15 * time.Second
