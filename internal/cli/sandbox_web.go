package cli

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"

	openshellv1 "openshell.ai/openshell/pkg/api/openshell/v1"
	"openshell.ai/openshell/pkg/gateway"
)

// webServer is a gateway's, as this host reaches it.
type webServer struct {
	address netip.Addr
	port    int // 0: not published
	tls     bool
}

// webServer is that of the gateway, by what is on this host.
func (v *sandboxVerb) webServer() (webServer, error) {
	host, err := v.deps.Host()
	if err != nil {
		return webServer{}, err
	}
	meta, err := host.Metadata(v.on)
	if err != nil {
		return webServer{}, noFiles(v.on, err)
	}
	address, err := netip.ParseAddr(meta.Bind)
	if err != nil || address.IsUnspecified() {
		address = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return webServer{address, meta.HTTPPort, meta.HTTPTLS}, nil
}

// document is an exposed port with its URLs. Names below localhost always lead
// to the loopback; on another address there is only the path.
func (w webServer) document(r *openshellv1.Route) exposedDocument {
	d := exposedDocument{Host: r.GetHost(), Sandbox: r.GetSandbox(), ID: r.GetSandboxId(), Port: r.GetPort()}
	if w.port == 0 {
		return d
	}
	scheme := gateway.WebScheme(w.tls)
	d.PathURL = fmt.Sprintf("%s://%s/%s/", scheme, net.JoinHostPort(w.address.String(), strconv.Itoa(w.port)), d.Host)
	d.URL = d.PathURL
	if w.address.IsLoopback() {
		d.URL = fmt.Sprintf("%s://%s.localhost:%d/", scheme, d.Host, w.port)
	}
	return d
}
