//go:build linux

package supervisor

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// dialling is how long a connection on the loopback may take.
const dialling = 10 * time.Second

type directTCP struct {
	Host       string
	Port       uint32
	OriginHost string
	OriginPort uint32
}

var errNotLoopback = errors.New("only the loopback of the sandbox can be reached")

// addresses returns where to connect, in order. Names are not looked up.
func (d directTCP) addresses() ([]netip.AddrPort, error) {
	if d.Port == 0 || d.Port > 65535 {
		return nil, errors.New("no such port")
	}
	port := uint16(d.Port)
	if strings.EqualFold(strings.TrimSuffix(d.Host, "."), "localhost") {
		return []netip.AddrPort{
			netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port),
			netip.AddrPortFrom(netip.IPv6Loopback(), port),
		}, nil
	}
	address, err := netip.ParseAddr(strings.Trim(d.Host, "[]"))
	if err != nil || !address.Unmap().IsLoopback() {
		return nil, errNotLoopback
	}
	return []netip.AddrPort{netip.AddrPortFrom(address.Unmap().WithZone(""), port)}, nil
}

// directTCP serves a channel "direct-tcpip".
func (s *supervisor) directTCP(request ssh.NewChannel) {
	var d directTCP
	if ssh.Unmarshal(request.ExtraData(), &d) != nil {
		refuse(request, "not an address")
		return
	}
	addresses, err := d.addresses()
	if err != nil {
		request.Reject(ssh.Prohibited, err.Error()) //nolint:errcheck // the client is gone
		return
	}
	var conn net.Conn
	for _, a := range addresses {
		if conn, err = net.DialTimeout("tcp", a.String(), dialling); err == nil {
			break
		}
	}
	if err != nil {
		refuse(request, err.Error())
		return
	}
	ch, requests, err := request.Accept()
	if err != nil {
		conn.Close()
		return
	}
	go ssh.DiscardRequests(requests)
	splice(ch, conn)
}

// directUnix serves a channel "direct-streamlocal@openssh.com": the connection
// is made by a process of the sandbox user, which decides what it may reach and
// whom the other side sees.
func (s *supervisor) directUnix(request ssh.NewChannel) {
	var d struct {
		Path, Reserved string
		Unused         uint32
	}
	if ssh.Unmarshal(request.ExtraData(), &d) != nil || d.Path == "" {
		refuse(request, "not a path")
		return
	}
	spec := self(verbUnix, d.Path)
	spec.Dir, spec.Env, spec.Stdin = s.cfg.Workspace, s.env.with(nil, ""), true
	p, err := s.table.Start(spec)
	if err != nil {
		refuse(request, err.Error())
		return
	}
	ch, requests, err := request.Accept()
	if err != nil {
		p.Abandon()
		p.Close()
		return
	}
	defer ch.Close()
	serve(ch, requests, p)
}

// splice copies both ways until both have ended.
func splice(ch ssh.Channel, conn net.Conn) {
	defer ch.Close()
	defer conn.Close()
	var both sync.WaitGroup
	both.Go(func() {
		io.Copy(ch, conn) //nolint:errcheck // either way this direction is over
		ch.CloseWrite()   //nolint:errcheck // see above
	})
	both.Go(func() {
		io.Copy(conn, ch) //nolint:errcheck // see above
		if half, ok := conn.(interface{ CloseWrite() error }); ok {
			half.CloseWrite() //nolint:errcheck // see above
		}
	})
	both.Wait()
}

// remoteForwards are the listeners that one connection asked for by
// "tcpip-forward", on the loopback of the sandbox.
type remoteForwards struct {
	conn ssh.Conn
	mu   sync.Mutex
	open map[string]net.Listener
}

type forwardAddress struct {
	Host string
	Port uint32
}

// maxForwards bounds the listeners of a connection.
const maxForwards = 32

// listen answers "tcpip-forward". Whatever address the client names, only the
// loopback is listened on.
func (f *remoteForwards) listen(payload []byte) (reply []byte, ok bool) {
	var m forwardAddress
	if ssh.Unmarshal(payload, &m) != nil || m.Port > 65535 || m.Port > 0 && m.Port < 1024 {
		return nil, false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.open) >= maxForwards {
		return nil, false
	}
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(m.Port))))
	if err != nil {
		return nil, false
	}
	port := uint32(l.Addr().(*net.TCPAddr).Port)
	if m.Port == 0 {
		reply = ssh.Marshal(struct{ Port uint32 }{port})
	}
	f.open[forwardAddress{m.Host, port}.key()] = l
	go f.accept(l, forwardAddress{m.Host, port})
	return reply, true
}

func (a forwardAddress) key() string { return net.JoinHostPort(a.Host, strconv.Itoa(int(a.Port))) }

func (f *remoteForwards) accept(l net.Listener, a forwardAddress) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			from := conn.RemoteAddr().(*net.TCPAddr)
			ch, requests, err := f.conn.OpenChannel("forwarded-tcpip", ssh.Marshal(directTCP{
				a.Host, a.Port, from.IP.String(), uint32(from.Port),
			}))
			if err != nil {
				conn.Close()
				return
			}
			go ssh.DiscardRequests(requests)
			splice(ch, conn)
		}()
	}
}

// cancel answers "cancel-tcpip-forward".
func (f *remoteForwards) cancel(payload []byte) bool {
	var m forwardAddress
	if ssh.Unmarshal(payload, &m) != nil {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	l, ok := f.open[m.key()]
	if ok {
		l.Close()
		delete(f.open, m.key())
	}
	return ok
}

func (f *remoteForwards) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range f.open {
		l.Close()
	}
}
