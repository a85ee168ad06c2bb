// Package server is the gateway server: the gRPC API and the HTTP endpoints
// of a gateway, on one port, for clients with a certificate.
package server

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"

	"github.com/distribution/reference"

	"openshell.ai/openshell/pkg/handshake"
	"openshell.ai/openshell/pkg/sandbox"
)

// Config is what a server needs to run.
type Config struct {
	Listen             string   // address of the gateway port, "host:port"
	ProbeListen        string   // address of the plain port for the kubelet's probes
	TLS                TLSFiles // unused with DisableTLS
	DisableTLS         bool     // serve in plain, for use behind a proxy that terminates TLS
	DisableGatewayAuth bool     // accept clients without a certificate
	Sandboxes          Sandboxes
	Handshake          handshake.Key  // from which those of the sandboxes derive
	Controller         sandbox.Config // REST, Master and Endpoint come from elsewhere

	// NewController makes what controls the sandboxes, as often as it ends;
	// nil: the server has no sandboxes. See InCluster.
	NewController func(*slog.Logger) (Controller, error)
}

// TLSFiles are paths of PEM files, usually mounted Secrets. They are read
// again whenever they change.
type TLSFiles struct {
	Cert     string // server certificate and its chain
	Key      string // private key of Cert
	ClientCA string // certificates that client certificates must chain to
}

// Sandboxes is what the server tells sandboxes and their users.
type Sandboxes struct {
	Image          string // used when a request names none
	GRPCEndpoint   string // URL at which a sandbox reaches the gateway; empty: the gateway's Service
	SSHGatewayHost string // host handed out with SSH sessions; empty: the one the client used
	SSHGatewayPort int    // port handed out with SSH sessions; 0: the one the client used
}

// ParseFlags reads the command line, without the program's name. A problem is
// one error that names the flag and the accepted form; flag.ErrHelp follows a
// request for help. The handshake secret is no flag: see TakeHandshakeSecret.
func ParseFlags(args []string, usage io.Writer) (Config, error) {
	var c Config
	fs := flag.NewFlagSet("openshell-server", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&c.Listen, "listen", ":8080", "`address` of the gateway port")
	fs.StringVar(&c.ProbeListen, "probe-listen", ":8081", "`address` of the plain port for health probes")
	fs.StringVar(&c.TLS.Cert, "tls-cert", "/etc/openshell/tls/server/tls.crt", "PEM `file` with the server certificate")
	fs.StringVar(&c.TLS.Key, "tls-key", "/etc/openshell/tls/server/tls.key", "PEM `file` with the server's private key")
	fs.StringVar(&c.TLS.ClientCA, "client-ca", "/etc/openshell/tls/client-ca/ca.crt", "PEM `file` with the CA of client certificates")
	fs.BoolVar(&c.DisableTLS, "disable-tls", false, "serve in plain, behind a proxy that terminates TLS")
	fs.BoolVar(&c.DisableGatewayAuth, "disable-gateway-auth", false, "accept clients without a certificate")
	fs.StringVar(&c.Sandboxes.Image, "sandbox-image", "", "`image` of sandboxes that name none")
	fs.StringVar(&c.Sandboxes.GRPCEndpoint, "grpc-endpoint", "", "`URL` at which sandboxes reach the gateway")
	fs.StringVar(&c.Sandboxes.SSHGatewayHost, "ssh-gateway-host", "", "`host` handed out with SSH sessions")
	fs.IntVar(&c.Sandboxes.SSHGatewayPort, "ssh-gateway-port", 0, "`port` handed out with SSH sessions")
	c.Controller.AddFlags(fs)
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fs.SetOutput(usage)
			fs.Usage()
		}
		return Config{}, err
	}
	if fs.NArg() > 0 {
		return Config{}, fmt.Errorf("unexpected argument %q: only flags are accepted", fs.Arg(0))
	}
	return c, c.validate()
}

// validate reports the first flag out of its accepted form.
func (c Config) validate() error {
	addresses := []struct{ flag, address string }{{"listen", c.Listen}, {"probe-listen", c.ProbeListen}}
	if c.Controller.HintListen != "" {
		addresses = append(addresses, struct{ flag, address string }{"hint-listen", c.Controller.HintListen})
	}
	for _, f := range addresses {
		if _, _, err := net.SplitHostPort(f.address); err != nil {
			return fmt.Errorf("flag -%s: %q is not host:port", f.flag, f.address)
		}
	}
	needTLS, needCA := !c.DisableTLS, !c.DisableTLS && !c.DisableGatewayAuth
	for _, f := range []struct {
		flag, path string
		needed     bool
	}{{"tls-cert", c.TLS.Cert, needTLS}, {"tls-key", c.TLS.Key, needTLS}, {"client-ca", c.TLS.ClientCA, needCA}} {
		if f.needed && f.path == "" {
			return fmt.Errorf("flag -%s: the path of a PEM file is needed", f.flag)
		}
	}
	if image := c.Sandboxes.Image; image != "" {
		if _, err := reference.ParseNormalizedNamed(image); err != nil {
			return fmt.Errorf("flag -sandbox-image: %q is not an image reference such as debian:12", image)
		}
	}
	if port := c.Sandboxes.SSHGatewayPort; port < 0 || port > 65535 {
		return fmt.Errorf("flag -ssh-gateway-port: %d is not 0 to 65535", port)
	}
	if endpoint := c.Sandboxes.GRPCEndpoint; endpoint != "" {
		u, err := url.Parse(endpoint)
		if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" {
			return fmt.Errorf("flag -grpc-endpoint: %q is not a URL such as https://openshell.openshell.svc:8080", endpoint)
		}
	}
	return nil
}
