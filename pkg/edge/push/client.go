package push

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
)

// Client talks to the control plane as this gateway.
type Client struct {
	Base      string // URL without a slash at its end
	TokenFile string // read for each request: tokens are renewed
	HTTP      *http.Client
}

// Refused is an answer that will not change when asked again.
type Refused struct {
	Status  int
	Message string
}

func (e *Refused) Error() string {
	return fmt.Sprintf("the control plane refuses: %d: %s", e.Status, e.Message)
}

// CheckBase reports why an URL cannot be the control plane's.
func CheckBase(base string) error {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("URL %q of the control plane is not like https://host or https://host/path", base)
	}
	return nil
}

// Announcement tells that a gateway is ready for an organization.
type Announcement struct {
	GatewayID string `json:"gateway_id"`
	Epoch     int64  `json:"epoch"`
	Build     string `json:"build"`
	Hostname  string `json:"hostname,omitempty"`
}

// Ready announces.
func (c *Client) Ready(ctx context.Context, a Announcement) error {
	body, err := json.Marshal(a)
	if err != nil {
		return err
	}
	return c.post(ctx, "/gateway/ready", bytes.NewReader(body), int64(len(body)), "")
}

// push sends a document as the spool keeps it.
func (c *Client) push(ctx context.Context, zipped io.Reader, size int64) error {
	return c.post(ctx, "/gateway/data/push", zipped, size, "gzip")
}

func (c *Client) post(ctx context.Context, path string, body io.Reader, size int64, encoding string) error {
	token, err := ReadSecret(c.TokenFile)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.Base+path, io.NopCloser(body))
	if err != nil {
		return err
	}
	req.ContentLength = size
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	if encoding != "" {
		req.Header.Set("Content-Encoding", encoding)
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	message, _ := io.ReadAll(io.LimitReader(resp.Body, 512)) // for people only
	if resp.StatusCode/100 == 2 {
		return nil
	}
	text := strings.ToValidUTF8(strings.TrimSpace(string(message)), "?")
	switch resp.StatusCode {
	case http.StatusBadRequest, http.StatusConflict, http.StatusGone, http.StatusPreconditionFailed,
		http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return &Refused{resp.StatusCode, text}
	}
	return fmt.Errorf("the control plane answers %d: %s", resp.StatusCode, text)
}

// ReadSecret reads a file that only its owner may read.
func ReadSecret(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("%s: mode is %#o, want 0600", path, info.Mode().Perm())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	secret := strings.TrimSpace(string(data))
	if secret == "" || strings.ContainsFunc(secret, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", errors.New(path + ": want one line of printable characters")
	}
	return secret, nil
}
