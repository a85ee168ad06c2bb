// Package certs issues the certificates of the node's Kubernetes components at
// every boot, from an authority and a token-signing key kept on the volume. A
// gateway that was shut for years boots: nothing but the authority can expire,
// and that is renewed with the key it has.
package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"openshell.ai/openshell/deploy/node/internal/layout"
	"openshell.ai/openshell/pkg/durable"
	"openshell.ai/openshell/pkg/nodeapi"
	"openshell.ai/openshell/pkg/pki"
)

// Paths that other packages name.
const (
	CACert   = layout.PKIDir + "/ca.crt"
	caKey    = layout.PKIDir + "/ca.key"
	TokenKey = layout.PKIDir + "/sa.key" // signs service account tokens
)

// Names of the issued pairs: layout.Cert(name), layout.Key(name).
const (
	APIServer        = "apiserver"
	APIServerKubelet = "apiserver-kubelet" // the API server as a client of the kubelet
	Kubelet          = "kubelet"           // the kubelet's server
	Health           = "health"            // openshell-node as a client of the API
)

// Components with credentials for the API: layout.Kubeconfig(name).
const (
	Controllers = "controllers" // controller manager, scheduler, charts, storage
	NodeAgent   = "node"        // kubelet
	Proxy       = "proxy"       // kube-proxy, DNS
)

// authority may be renewed this long before it ends.
const renewAuthority = 365 * 24 * time.Hour

var authoritySubject = pki.Subject{CommonName: "openshell-node-ca"}

// Issue prepares everything for one boot.
func Issue(node layout.Node, now time.Time) error {
	for _, dir := range []string{layout.PKIDir, layout.RunDir} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("certificate directory: %w", err)
		}
	}
	ca, err := authority(now)
	if err != nil {
		return err
	}
	if err := tokenKey(); err != nil {
		return err
	}
	for _, p := range pairs(node) {
		if err := issuePair(ca, p.name, p.spec, now); err != nil {
			return err
		}
	}
	for _, c := range clients(node) {
		if err := issueKubeconfig(ca, c.path, c.spec, now); err != nil {
			return err
		}
	}
	return nil
}

type pair struct {
	name string
	spec pki.LeafSpec
}

func pairs(node layout.Node) []pair {
	return []pair{
		{APIServer, pki.LeafSpec{CommonName: "kube-apiserver", Usage: pki.Server, SANs: []string{
			"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + layout.ClusterDomain,
			"localhost", "127.0.0.1", node.Name, node.IP.String(), node.APIServiceIP().String(),
		}}},
		{APIServerKubelet, pki.LeafSpec{CommonName: "kube-apiserver-kubelet-client", Organization: []string{"system:masters"}, Usage: pki.Client}},
		{Health, pki.LeafSpec{CommonName: "openshell:health", Organization: []string{"system:masters"}, Usage: pki.Client}},
		{Kubelet, pki.LeafSpec{CommonName: "system:node:" + node.Name, Usage: pki.Server, SANs: []string{node.Name, node.IP.String()}}},
	}
}

type client struct {
	path string
	spec pki.LeafSpec
}

// clients are the holders of API credentials. The controllers and the proxy
// are in system:masters: on a first boot they would otherwise be refused until
// the API server has created its default roles, which costs a second, and they
// share a container with the API server's own keys anyway.
func clients(node layout.Node) []client {
	masters := []string{"system:masters"}
	return []client{
		{layout.Kubeconfig(Controllers), pki.LeafSpec{CommonName: "openshell:controllers", Organization: masters, Usage: pki.Client}},
		{layout.Kubeconfig(Proxy), pki.LeafSpec{CommonName: "system:kube-proxy", Organization: masters, Usage: pki.Client}},
		{layout.Kubeconfig(NodeAgent), pki.LeafSpec{CommonName: "system:node:" + node.Name, Organization: []string{"system:nodes"}, Usage: pki.Client}},
		{nodeapi.AdminKubeconfig, pki.LeafSpec{CommonName: "openshell:admin", Organization: masters, Usage: pki.Client}},
	}
}

// authority reads the authority, makes it on the first boot, and renews its
// certificate in time. A damaged one is kept beside a new one: only
// certificates that are re-issued at every boot depend on it.
func authority(now time.Time) (*pki.CA, error) {
	cert, certErr := os.ReadFile(CACert)
	key, keyErr := os.ReadFile(caKey)
	for _, err := range []error{certErr, keyErr} {
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("node authority: %w", err)
		}
	}
	ca, err := pki.ParseCA(pki.KeyPair{Cert: cert, Key: key})
	switch {
	case err == nil && stillValid(cert, now):
		return ca, nil
	case keyErr == nil:
		if renewed, renewErr := pki.RenewCA(key, authoritySubject, now); renewErr == nil {
			return renewed, saveAuthority(renewed)
		}
		damaged := fmt.Sprintf("%s.damaged-%d", caKey, now.Unix())
		if err := os.Rename(caKey, damaged); err != nil {
			return nil, fmt.Errorf("damaged node authority: %w", err)
		}
		slog.Warn("the node's certificate authority was damaged and is made anew", "kept", damaged)
	}
	ca, err = pki.NewCA(authoritySubject, now)
	if err != nil {
		return nil, err
	}
	return ca, saveAuthority(ca)
}

func stillValid(certPEM []byte, now time.Time) bool {
	block, _ := pem.Decode(certPEM)
	if block == nil {
		return false
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	return err == nil && now.After(cert.NotBefore) && now.Add(renewAuthority).Before(cert.NotAfter)
}

// saveAuthority writes the key first: a certificate can be made again from the
// key, but not the other way round.
func saveAuthority(ca *pki.CA) error {
	if err := durable.WriteFile(caKey, ca.Pair().Key, 0o600); err != nil {
		return err
	}
	return durable.WriteFile(CACert, ca.CertPEM(), 0o644)
}

// tokenKey makes the key of service account tokens on the first boot, and
// again when it is damaged: pods get new tokens when they start. The API server
// finds the public key in the SEC 1 form only.
func tokenKey() error {
	data, err := os.ReadFile(TokenKey)
	if err == nil {
		if block, _ := pem.Decode(data); block != nil {
			if _, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
				return nil
			}
		}
		slog.Warn("the key of service account tokens was damaged and is made anew")
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("token key: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("token key: %w", err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return fmt.Errorf("token key: %w", err)
	}
	return durable.WriteFile(TokenKey, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600)
}

func issuePair(ca *pki.CA, name string, spec pki.LeafSpec, now time.Time) error {
	leaf, err := ca.Issue(spec, now)
	if err != nil {
		return err
	}
	if err := durable.WriteFile(layout.Key(name), leaf.Key, 0o600); err != nil {
		return err
	}
	return durable.WriteFile(layout.Cert(name), leaf.Cert, 0o644)
}

func issueKubeconfig(ca *pki.CA, path string, spec pki.LeafSpec, now time.Time) error {
	leaf, err := ca.Issue(spec, now)
	if err != nil {
		return err
	}
	return durable.WriteFile(path, kubeconfig(ca.CertPEM(), leaf), 0o600)
}
