package k8s

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/url"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestPitfall13OnlySilenceIsUnanswered(t *testing.T) {
	secrets := schema.GroupResource{Resource: "secrets"}
	request := func(cause error) error {
		return fmt.Errorf("kubernetes nodes: %w", &url.Error{Op: "Get", URL: "https://127.0.0.1:6443/api/v1/nodes", Err: cause})
	}
	for name, test := range map[string]struct {
		err  error
		want bool
	}{
		"nil":                  {nil, false},
		"connection ended":     {request(io.EOF), true},
		"handshake too slow":   {request(errors.New("net/http: TLS handshake timeout")), true},
		"unknown authority":    {request(&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}), false},
		"starting":             {apierrors.NewServiceUnavailable("starting"), true},
		"too busy":             {apierrors.NewTooManyRequests("later", 1), true},
		"took too long":        {apierrors.NewTimeoutError("etcd", 1), true},
		"forbidden":            {apierrors.NewForbidden(secrets, "x", nil), false},
		"internal error":       {apierrors.NewInternalError(errors.New("x")), false},
		"conflict":             {fmt.Errorf("secret a/b: %w", ErrConflict), false},
		"namespace on its way": {errors.New("kubernetes namespace openshell: is being deleted"), false},
	} {
		if got := Unanswered(test.err); got != test.want {
			t.Errorf("%s: %t, want %t", name, got, test.want)
		}
	}
}
