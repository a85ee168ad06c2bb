// Package sandboxssh is the client side of a sandbox's SSH daemon: what the
// gateway server and the command line ask of the supervisor.
package sandboxssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"openshell.ai/openshell/pkg/sandboxapi"
)

// Client is one SSH connection to a sandbox. It is safe for concurrent use.
type Client struct {
	ssh *ssh.Client
}

// Refused is what the supervisor answers instead of opening a channel.
type Refused struct{ Message string }

func (e *Refused) Error() string { return e.Message }

// ErrNoExit says that a process's channel ended without its exit status: the
// connection was lost or the sandbox stopped.
var ErrNoExit = errors.New("the sandbox went away before the end of the command")

// ParseHostKey reads a public key in the form of authorized_keys.
func ParseHostKey(authorized string) (ssh.PublicKey, error) {
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(authorized))
	if err != nil {
		return nil, fmt.Errorf("host key: %w", err)
	}
	return key, nil
}

// Connect speaks SSH over conn, which is past the preface, and checks the host
// key. It takes conn over: with an error it is closed. When ctx ends before the
// handshake does, so does the handshake; afterwards ctx has no effect.
func Connect(ctx context.Context, conn net.Conn, hostKey ssh.PublicKey) (*Client, error) {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	c, channels, requests, err := ssh.NewClientConn(conn, conn.RemoteAddr().String(), &ssh.ClientConfig{
		User:              sandboxapi.User,
		HostKeyCallback:   ssh.FixedHostKey(hostKey),
		HostKeyAlgorithms: []string{hostKey.Type()},
		ClientVersion:     "SSH-2.0-openshell",
	})
	if !stop() {
		conn.Close()
		return nil, ctx.Err()
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return &Client{ssh.NewClient(c, channels, requests)}, nil
}

// Wait returns when the connection has ended, with its reason.
func (c *Client) Wait() error { return c.ssh.Wait() }

// Close ends the connection and everything on it.
func (c *Client) Close() error { return c.ssh.Close() }

// Dial connects to an address on the loopback of the sandbox. Deadlines are not
// supported by what it returns.
func (c *Client) Dial(ctx context.Context, address string) (net.Conn, error) {
	conn, err := c.ssh.DialContext(ctx, "tcp", address)
	return conn, refusal(err)
}

// SFTP starts an SFTP server of the sandbox user. Its working directory is
// sandboxapi.Workspace.
func (c *Client) SFTP(ctx context.Context) (*sftp.Client, error) {
	ch, requests, err := c.open(ctx, "session", nil)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { ch.Close() })
	defer stop()
	go ssh.DiscardRequests(requests)
	go io.Copy(io.Discard, ch.Stderr()) //nolint:errcheck // ends with the channel
	ok, err := ch.SendRequest("subsystem", true, ssh.Marshal(subsystem{"sftp"}))
	if err == nil && !ok {
		err = &Refused{"the sandbox has no SFTP server"}
	}
	if err != nil {
		ch.Close()
		return nil, err
	}
	files, err := sftp.NewClientPipe(ch, ch, sftp.UseConcurrentWrites(true))
	if err != nil {
		ch.Close()
		return nil, err
	}
	return files, nil
}

// open opens a channel, and waits no longer than ctx for it.
func (c *Client) open(ctx context.Context, kind string, extra []byte) (ssh.Channel, <-chan *ssh.Request, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	type opened struct {
		ch       ssh.Channel
		requests <-chan *ssh.Request
		err      error
	}
	result := make(chan opened, 1)
	go func() {
		ch, requests, err := c.ssh.OpenChannel(kind, extra)
		result <- opened{ch, requests, err}
	}()
	select {
	case o := <-result:
		return o.ch, o.requests, refusal(o.err)
	case <-ctx.Done():
		go func() {
			if o := <-result; o.err == nil {
				go ssh.DiscardRequests(o.requests)
				o.ch.Close()
			}
		}()
		return nil, nil, ctx.Err()
	}
}

func refusal(err error) error {
	var e *ssh.OpenChannelError
	if errors.As(err, &e) {
		return &Refused{e.Message}
	}
	return err
}
