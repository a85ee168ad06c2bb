package release

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

const (
	connectLimit  = 3 * time.Second
	manifestLimit = 5 * time.Second // also for the first byte of the archive
	archiveLimit  = time.Minute
	// attempts are for a build that is packed while the one before is fetched.
	attempts = 3
)

// Source is where builds come from, and whose signature they need.
type Source struct {
	URL string // of the directory: http://HOST:PORT
	Key ed25519.PublicKey
}

// errMoved: the server has packed another build since.
var errMoved = errors.New("there is another build by now")

// download stores the current build's archive in file, checked from signature to sum.
func (s Source) download(ctx context.Context, file *os.File) (Manifest, error) {
	base, err := url.Parse(s.URL)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" || base.User != nil || base.RawQuery != "" {
		return Manifest{}, fmt.Errorf("url %q is not http://HOST:PORT", s.URL)
	}
	for attempt := 1; ; attempt++ {
		manifest, err := s.try(ctx, base, file)
		if attempt == attempts || !errors.Is(err, errSignature) && !errors.Is(err, errMoved) {
			return manifest, err
		}
	}
}

func (s Source) try(ctx context.Context, base *url.URL, file *os.File) (Manifest, error) {
	client := newClient()
	defer client.CloseIdleConnections()
	data, err := small(ctx, client, base, manifestFile, maxManifest)
	if err != nil {
		return Manifest{}, err
	}
	signature, err := small(ctx, client, base, signatureFile, maxSignature)
	if err != nil {
		return Manifest{}, err
	}
	if err := verify(s.Key, data, signature); err != nil {
		return Manifest{}, err
	}
	manifest, err := ParseManifest(data)
	if err != nil {
		return Manifest{}, err
	}
	if err := file.Truncate(0); err != nil {
		return Manifest{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, archiveLimit)
	defer cancel()
	body, err := get(ctx, client, base, manifest.File)
	if err != nil {
		return Manifest{}, err
	}
	defer body.Close()
	sum := sha256.New()
	// One byte more than there may be.
	size, err := io.Copy(io.MultiWriter(io.NewOffsetWriter(file, 0), sum), io.LimitReader(body, manifest.Size+1))
	switch {
	case err != nil:
		return Manifest{}, fmt.Errorf("fetch %s: %w", manifest.File, err)
	case size != manifest.Size:
		return Manifest{}, fmt.Errorf("fetch %s: it has not the %d bytes of the manifest, but %d at least", manifest.File, manifest.Size, size)
	case hex.EncodeToString(sum.Sum(nil)) != manifest.SHA256:
		return Manifest{}, fmt.Errorf("fetch %s: its sha256 is not the manifest's", manifest.File)
	}
	return manifest, nil
}

func newClient() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext:           (&net.Dialer{Timeout: connectLimit}).DialContext,
			TLSHandshakeTimeout:   connectLimit,
			ResponseHeaderTimeout: manifestLimit,
			DisableCompression:    true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return errors.New("the build server redirects, which is not followed")
		},
	}
}

// small reads a whole file of limited size.
func small(ctx context.Context, client *http.Client, base *url.URL, name string, limit int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, manifestLimit)
	defer cancel()
	body, err := get(ctx, client, base, name)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	data, err := io.ReadAll(io.LimitReader(body, limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("fetch %s: %w", name, err)
	case int64(len(data)) > limit:
		return nil, fmt.Errorf("fetch %s: it is longer than %d bytes", name, limit)
	}
	return data, nil
}

func get(ctx context.Context, client *http.Client, base *url.URL, name string) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base.JoinPath(name).String(), nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("fetch: %w", err)
	}
	switch {
	case response.StatusCode == http.StatusOK:
		return response.Body, nil
	case response.StatusCode == http.StatusNotFound && strings.HasSuffix(name, ".tar.gz"):
		err = fmt.Errorf("fetch %s: %w", name, errMoved)
	default:
		err = fmt.Errorf("fetch %s: the build server answers %s", name, response.Status)
	}
	response.Body.Close()
	return nil, err
}
