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
	"k8s.io/klog/v2"

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
    %s
}
`, layout.DNSAddress, layout.ClusterDomain, layout.Kubeconfig(certs.Proxy), keepLogger)
}

// keepLogger is a directive of our own behind that of the kubernetes plugin,
// which takes klog for itself, and with it the log of everything else in this
// process.
const keepLogger = "openshell_keep_logger"

// runDNS serves until ctx ends. It closes loggerKept when the other components
// may begin to log. A process calls it once.
func runDNS(ctx context.Context, loggerKept chan<- struct{}) error {
	caddy.Quiet, dnsserver.Quiet = true, true
	dnsserver.Directives = append(dnsserver.Directives, keepLogger)
	caddy.RegisterPlugin(keepLogger, caddy.Plugin{ServerType: "dns", Action: func(*caddy.Controller) error {
		klog.ClearLogger()
		close(loggerKept)
		return nil
	}})
	instance, err := caddy.Start(caddy.CaddyfileInput{
		Contents: []byte(corefile()), Filepath: "Corefile", ServerTypeName: "dns",
	})
	if err != nil {
		return err
	}
	<-ctx.Done()
	return instance.Stop()
}
