package hostconfig

import (
	"time"

	"openshell.ai/openshell/pkg/gateway"
)

// Bundle is what a client presents to the gateway and trusts it by, in PEM:
// the files ca.crt, tls.crt and tls.key under gateways/<name>/mtls.
type Bundle struct{ CA, Cert, Key []byte }

// Metadata is gateways/<name>/metadata.json: a copy of what the volume knows,
// for clients that look at files only. Nothing needs it to come back.
type Metadata struct {
	Name      gateway.Name `json:"name"`
	Endpoint  string       `json:"endpoint"` // https://127.0.0.1:8080
	Port      int          `json:"port"`
	Bind      string       `json:"bind"`
	HTTPPort  int          `json:"httpPort"`
	HTTPTLS   bool         `json:"httpTLS,omitempty"` // the web server speaks HTTPS
	VPNPort   int          `json:"vpnPort"`
	Version   string       `json:"version"` // of the node image
	UpdatedAt time.Time    `json:"updatedAt"`
}
