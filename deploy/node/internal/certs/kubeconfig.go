package certs

import (
	"encoding/base64"
	"fmt"

	"openshell.ai/openshell/pkg/nodeapi"
	"openshell.ai/openshell/pkg/pki"
)

// kubeconfig is a client configuration with everything inline. The API server
// is addressed by the loopback, which only the node itself reaches.
func kubeconfig(caCert []byte, leaf pki.KeyPair) []byte {
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Appendf(nil, `apiVersion: v1
kind: Config
clusters:
- name: openshell
  cluster:
    server: https://127.0.0.1:%d
    certificate-authority-data: %s
users:
- name: openshell
  user:
    client-certificate-data: %s
    client-key-data: %s
contexts:
- name: openshell
  context: {cluster: openshell, user: openshell}
current-context: openshell
`, nodeapi.APIServerPort, b64(caCert), b64(leaf.Cert), b64(leaf.Key))
}
