package kubenode

import (
	"context"
	"fmt"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"

	// The plugins the configuration below names.
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/forward"
	_ "github.com/coredns/coredns/plugin/kubernetes"

	"openshell.ai/openshell/deploy/node/internal/certs"
	"openshell.ai/openshell/deploy/node/internal/layout"
)

// corefile serves pods on an address that only the node has. It forwards to
// the container's own resolver, which pods cannot reach when it is Docker's
// (127.0.0.11).
func corefile() string {
	return fmt.Sprintf(`.:53 {
    bind %s
    errors
    kubernetes %s in-addr.arpa ip6.arpa {
        kubeconfig %s
        pods disabled
        fallthrough in-addr.arpa ip6.arpa
    }
    forward . /etc/resolv.conf
    cache 30
}
`, layout.DNSAddress, layout.ClusterDomain, layout.Kubeconfig(certs.Proxy))
}

func runDNS(ctx context.Context) error {
	caddy.Quiet, dnsserver.Quiet = true, true
	instance, err := caddy.Start(caddy.CaddyfileInput{
		Contents: []byte(corefile()), Filepath: "Corefile", ServerTypeName: "dns",
	})
	if err != nil {
		return err
	}
	<-ctx.Done()
	return instance.Stop()
}
