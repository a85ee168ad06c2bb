package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Defaults of a gateway made without flags.
const (
	DefaultPort = 8080
	DefaultBind = "127.0.0.1"
)

// settingsVersion is the schema version written to gateway.json.
const settingsVersion = 1

// Settings are what a gateway was made with. They live in current/gateway.json
// on its volume and are all that is needed to make its container again.
type Settings struct {
	Version      int        `json:"version"`
	Name         Name       `json:"name"`
	Port         int        `json:"port"`                   // host port of the gateway API
	Bind         string     `json:"bind"`                   // host address the ports are published on
	GatewayHosts []string   `json:"gatewayHosts,omitempty"` // further SANs of the server certificate
	HTTPPort     int        `json:"httpPort"`               // host port of nginx; 0: not published
	HTTPTLS      bool       `json:"httpTLS,omitempty"`      // nginx serves HTTPS, with the gateway's certificate
	VPNPort      int        `json:"vpnPort"`                // host port of OpenVPN, udp; 0: not published
	CPUs         float64    `json:"cpus,omitempty"`         // limit of the node in cores; 0: none
	Memory       int64      `json:"memory,omitempty"`       // limit of the node in bytes; 0: none
	Network      Network    `json:"network"`
	Image        Image      `json:"image"`
	CreatedAt    time.Time  `json:"createdAt"`
	Initialized  *time.Time `json:"initialized,omitempty"` // when the gateway was healthy for the first time
}

// Network are the address ranges of a gateway. The Docker network's range may
// change when another network takes it; the Kubernetes ranges never do.
type Network struct {
	Subnet      netip.Prefix `json:"subnet"`      // the Docker network
	PodCIDR     netip.Prefix `json:"podCIDR"`     // Kubernetes pods
	ServiceCIDR netip.Prefix `json:"serviceCIDR"` // Kubernetes services
}

// Image is the node image a gateway runs.
type Image struct {
	Ref     string `json:"ref"`     // name:tag it was started from
	ID      string `json:"id"`      // sha256:… of the image's configuration
	Version string `json:"version"` // label org.opencontainers.image.version
}

// Encode is the content of gateway.json.
func (s Settings) Encode() []byte {
	s.Version = settingsVersion
	out, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		panic(fmt.Sprintf("gateway settings do not encode: %v", err)) // only plain types above
	}
	return append(out, '\n')
}

// WebScheme is what URLs of the web port begin with.
func (s Settings) WebScheme() string { return WebScheme(s.HTTPTLS) }

// WebScheme is what URLs of a web port begin with that serves HTTPS, or not.
func WebScheme(tls bool) string {
	if tls {
		return "https"
	}
	return "http"
}

// ErrNewer is in the chain of the error for settings that a newer openshell
// wrote.
var ErrNewer = errors.New("written by a newer openshell")

// DecodeSettings reads gateway.json. An error says which field is wrong.
func DecodeSettings(data []byte) (Settings, error) {
	var s Settings
	dec := json.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(&s); err != nil {
		return Settings{}, fmt.Errorf("gateway.json: %w", err)
	}
	if s.Version > settingsVersion {
		return Settings{}, fmt.Errorf("gateway.json: version is %d, this openshell reads 1 to %d: %w", s.Version, settingsVersion, ErrNewer)
	}
	if s.Version < 1 {
		return Settings{}, fmt.Errorf("gateway.json: version is %d, this openshell reads 1 to %d", s.Version, settingsVersion)
	}
	return s, s.Validate()
}

// Validate reports the first field out of its accepted form.
func (s Settings) Validate() error {
	if _, err := ParseName(string(s.Name)); err != nil {
		return fmt.Errorf("gateway.json: name: %w", err)
	}
	if s.Port < 1 || s.Port > 65535 {
		return fmt.Errorf("gateway.json: port is %d, not 1 to 65535", s.Port)
	}
	for field, port := range map[string]int{"httpPort": s.HTTPPort, "vpnPort": s.VPNPort} {
		if port < 0 || port > 65535 {
			return fmt.Errorf("gateway.json: %s is %d, not 0 to 65535", field, port)
		}
	}
	if _, err := netip.ParseAddr(s.Bind); err != nil {
		return fmt.Errorf("gateway.json: bind %q is not an IP address", s.Bind)
	}
	for field, p := range map[string]netip.Prefix{"subnet": s.Network.Subnet, "podCIDR": s.Network.PodCIDR, "serviceCIDR": s.Network.ServiceCIDR} {
		if !p.IsValid() {
			return fmt.Errorf("gateway.json: network.%s is missing", field)
		}
	}
	return nil
}
