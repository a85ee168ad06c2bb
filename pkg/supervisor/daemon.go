//go:build linux

package supervisor

import (
	"errors"
	"net"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"openshell.ai/openshell/pkg/handshake"
	"openshell.ai/openshell/pkg/sandboxapi"
)

const (
	// agreeing is how long the SSH handshake may take.
	agreeing = 10 * time.Second
	// maxConnections is more than the gateway opens: its own, 20 tunnels and 32
	// calls. maxStrangers are those that have not got past the preface.
	maxConnections = 64
	maxStrangers   = 32
	// maxChannels bounds what one connection has open.
	maxChannels = 256
	// quiet is how long nothing is said of refused connections after one.
	quiet = 10 * time.Second
)

// daemon lets clients in, within limits.
type daemon struct {
	s         *supervisor
	listener  net.Listener
	verifier  *handshake.Verifier
	ssh       *ssh.ServerConfig
	all       chan struct{} // one element for each connection
	strangers chan struct{}
	refusedAt atomic.Int64 // Unix seconds of the last refusal that was logged
}

func newDaemon(s *supervisor, l net.Listener) (*daemon, error) {
	pem, err := os.ReadFile(s.cfg.HostKey)
	if err != nil {
		return nil, err
	}
	signer, err := ssh.ParsePrivateKey(pem)
	clear(pem)
	if err != nil {
		return nil, errors.New(s.cfg.HostKey + ": not a private key of OpenSSH")
	}
	config := &ssh.ServerConfig{
		NoClientAuth: true,
		NoClientAuthCallback: func(c ssh.ConnMetadata) (*ssh.Permissions, error) {
			if c.User() != sandboxapi.User {
				return nil, errors.New("no such user")
			}
			return nil, nil
		},
		ServerVersion: "SSH-2.0-openshell",
	}
	config.AddHostKey(signer)
	key := func() (handshake.Key, error) {
		content, err := os.ReadFile(s.cfg.Handshake)
		if err != nil {
			return "", err
		}
		return handshake.ParseKey(string(content))
	}
	return &daemon{
		s: s, listener: l, ssh: config,
		verifier:  handshake.NewVerifier(key, time.Now),
		all:       make(chan struct{}, maxConnections),
		strangers: make(chan struct{}, maxStrangers),
	}, nil
}

// accept serves connections until the listener is closed.
func (d *daemon) accept() {
	for {
		conn, err := d.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of files or memory: others end
			d.s.log.Error("accept", "error", err)
			time.Sleep(100 * time.Millisecond)
			continue
		}
		select {
		case d.strangers <- struct{}{}:
			go d.welcome(conn)
		default:
			conn.Close()
		}
	}
}

// welcome takes a connection through the preface.
func (d *daemon) welcome(conn net.Conn) {
	admitted, err := d.verifier.Accept(conn)
	<-d.strangers
	if err != nil {
		if now, before := time.Now().Unix(), d.refusedAt.Load(); now-before > int64(quiet/time.Second) && d.refusedAt.CompareAndSwap(before, now) {
			d.s.log.Warn("connection refused", "from", conn.RemoteAddr().String(), "error", err)
		}
		return
	}
	select {
	case d.all <- struct{}{}:
		defer func() { <-d.all }()
		d.converse(admitted)
	default:
		d.s.log.Warn("too many connections")
		admitted.Close()
	}
}

// converse speaks SSH until the connection ends.
func (d *daemon) converse(raw net.Conn) {
	defer raw.Close()
	if err := raw.SetDeadline(time.Now().Add(agreeing)); err != nil {
		return
	}
	conn, channels, requests, err := ssh.NewServerConn(raw, d.ssh)
	if err != nil {
		d.s.log.Debug("SSH handshake", "error", err)
		return
	}
	if err := raw.SetDeadline(time.Time{}); err != nil {
		return
	}
	forwards := &remoteForwards{conn: conn, open: map[string]net.Listener{}}
	defer forwards.close()
	go func() {
		for r := range requests {
			var reply []byte
			ok := false
			switch r.Type {
			case "tcpip-forward":
				reply, ok = forwards.listen(r.Payload)
			case "cancel-tcpip-forward":
				ok = forwards.cancel(r.Payload)
			}
			if r.WantReply { // of keepalives too: the answer is what counts
				r.Reply(ok, reply) //nolint:errcheck // the client is gone
			}
		}
	}()
	open := make(chan struct{}, maxChannels)
	for request := range channels {
		handle := d.s.handler(request.ChannelType())
		if handle == nil {
			request.Reject(ssh.UnknownChannelType, "unknown channel type") //nolint:errcheck // the client is gone
			continue
		}
		select {
		case open <- struct{}{}:
			go func() {
				defer func() { <-open }()
				handle(request)
			}()
		default:
			request.Reject(ssh.ResourceShortage, "too many channels") //nolint:errcheck // see above
		}
	}
}

func (s *supervisor) handler(channelType string) func(ssh.NewChannel) {
	switch channelType {
	case "session":
		return s.session
	case "direct-tcpip":
		return s.directTCP
	case "direct-streamlocal@openssh.com":
		return s.directUnix
	case sandboxapi.ChannelExec:
		return s.execChannel
	case sandboxapi.ChannelAttach:
		return s.attach
	case sandboxapi.ChannelStatus:
		return s.statusChannel
	case sandboxapi.ChannelLogs:
		return s.logsChannel
	}
	return nil
}
