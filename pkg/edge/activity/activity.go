// Package activity learns from nginx whether somebody uses the gateway.
package activity

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"
)

const statusLimit = 2 * time.Second

// Listen opens the datagram socket to which nginx, which is not root, sends a
// message for each request that counts.
func Listen(path string) (*net.UnixConn, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o666); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// Receive calls seen for each message until the socket is closed. A message is
// itself the news: what is in it does not matter.
func Receive(conn *net.UnixConn, seen func()) {
	buffer := make([]byte, 512)
	for {
		if _, err := conn.Read(buffer); err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue // a message that was too long is one as well
		}
		seen()
	}
}

// Status asks nginx for its connections through a unix socket.
type Status struct {
	client *http.Client
	url    string
}

// NewStatus makes a client of the socket, on which path answers stub_status.
func NewStatus(socket, path string) *Status {
	return &Status{url: "http://nginx" + path, client: &http.Client{
		Timeout: statusLimit,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "unix", socket)
			},
		},
	}}
}

// Busy answers how many requests nginx is in, with open WebSockets, but without
// the one that asks.
func (s *Status) Busy(ctx context.Context) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return 0, err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("status of nginx: %s", resp.Status)
	}
	return parse(io.LimitReader(resp.Body, 4096))
}

// parse reads "Reading: 0 Writing: 3 Waiting: 1".
func parse(r io.Reader) (int, error) {
	words := bufio.NewScanner(r)
	words.Split(bufio.ScanWords)
	for words.Scan() {
		if words.Text() != "Writing:" {
			continue
		}
		if !words.Scan() {
			break
		}
		n, err := strconv.Atoi(words.Text())
		if err != nil || n < 0 {
			return 0, fmt.Errorf("status of nginx: Writing is %q", words.Text())
		}
		return max(n-1, 0), nil
	}
	return 0, errors.Join(errors.New("status of nginx: Writing is missing"), words.Err())
}

// Watch calls seen while nginx is in requests at two looks in a row: one alone
// may be a container that reports.
func Watch(ctx context.Context, every time.Duration, busy func(context.Context) (int, error), seen func()) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	last := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now, err := busy(ctx)
		if err != nil {
			now = 0 // without nginx nobody is there
		}
		if now > 0 && last > 0 {
			seen()
		}
		last = now
	}
}
