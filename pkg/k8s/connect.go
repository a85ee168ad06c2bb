package k8s

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// requestTimeout bounds one request, not the waiting for an API to come up.
const requestTimeout = 15 * time.Second

// Connect makes a Cluster from a kubeconfig, whose every connection comes from
// dial whatever address the kubeconfig names. wrap stands between the Cluster
// and its transport; nil: nothing does. It sends nothing yet. The Cluster lives
// until ctx ends or Close.
func Connect(ctx context.Context, dial func(context.Context) (net.Conn, error), kubeconfig []byte, wrap func(http.RoundTripper) http.RoundTripper) (*Cluster, error) {
	config, err := restConfig(kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	config.Dial, config.WrapTransport = dialFor(ctx, dial), wrap
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	set, err := kubernetes.NewForConfigAndClient(config, client)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	return &Cluster{client: set, http: client, host: config.Host, cancel: cancel}, nil
}

// restConfig takes nothing from the kubeconfig but inline data: it comes out
// of the container, and a plugin command or a path in it would act on the host.
func restConfig(kubeconfig []byte) (*rest.Config, error) {
	config, err := clientcmd.Load(kubeconfig)
	if err != nil {
		return nil, errors.New("not readable") // the cause would quote its content
	}
	current := config.Contexts[config.CurrentContext]
	if current == nil {
		return nil, fmt.Errorf("current-context %q is not defined", config.CurrentContext)
	}
	cluster, user := config.Clusters[current.Cluster], config.AuthInfos[current.AuthInfo]
	switch {
	case cluster == nil:
		return nil, fmt.Errorf("cluster %q is not defined", current.Cluster)
	case user == nil:
		return nil, fmt.Errorf("user %q is not defined", current.AuthInfo)
	case len(cluster.CertificateAuthorityData) == 0:
		return nil, errors.New("certificate-authority-data is missing")
	case len(user.ClientCertificateData) == 0 || len(user.ClientKeyData) == 0:
		return nil, errors.New("client-certificate-data or client-key-data is missing")
	}
	server, err := url.Parse(cluster.Server)
	if err != nil || server.Scheme != "https" || server.Host == "" {
		return nil, fmt.Errorf("server %q is not an https URL", cluster.Server)
	}
	return &rest.Config{
		Host: cluster.Server,
		TLSClientConfig: rest.TLSClientConfig{
			ServerName: cluster.TLSServerName,
			CAData:     cluster.CertificateAuthorityData,
			CertData:   user.ClientCertificateData,
			KeyData:    user.ClientKeyData,
		},
		ContentConfig: rest.ContentConfig{
			ContentType:        runtime.ContentTypeProtobuf,
			AcceptContentTypes: runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON,
		},
		UserAgent:          "openshell",
		DisableCompression: true,
		QPS:                -1, // one user, one node: no limit
		Timeout:            requestTimeout,
		Proxy:              func(*http.Request) (*url.URL, error) { return nil, nil },
	}, nil
}

// dialFor separates two lifetimes: the request's context ends the dialling,
// the Cluster's ends the connection.
func dialFor(life context.Context, dial func(context.Context) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(request context.Context, _, _ string) (net.Conn, error) {
		ctx, cancel := context.WithCancel(life)
		detach := context.AfterFunc(request, cancel)
		conn, err := dial(ctx)
		if !detach() && err == nil {
			conn.Close()
			err = context.Cause(request)
		}
		if err != nil {
			cancel()
			return nil, err
		}
		bound := &boundConn{Conn: conn, release: cancel}
		context.AfterFunc(ctx, func() { conn.Close() })
		return bound, nil
	}
}

// boundConn ends its context with the connection.
type boundConn struct {
	net.Conn
	release context.CancelFunc
}

func (c *boundConn) Close() error {
	err := c.Conn.Close()
	c.release()
	return err
}

// Unanswered reports whether err, of any method of Cluster, says only that the
// API gave no answer, or one that asks to come again: it is slow, or restarting.
// The call may be made again, and may have had its effect already.
func Unanswered(err error) bool {
	var status apierrors.APIStatus
	var request *url.Error
	return (errors.As(err, &status) || errors.As(err, &request)) && notServingYet(err)
}

// notServingYet reports whether err says that the API has not come up: no
// connection, or an answer that asks to come again.
func notServingYet(err error) bool {
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		return apierrors.IsServiceUnavailable(err) || apierrors.IsTooManyRequests(err) || apierrors.IsServerTimeout(err) || apierrors.IsTimeout(err)
	}
	var authority x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var host x509.HostnameError
	return !errors.As(err, &authority) && !errors.As(err, &invalid) && !errors.As(err, &host)
}
