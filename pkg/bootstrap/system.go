package bootstrap

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
)

// localSystem is this host.
type localSystem struct{}

// PortHolder tries to listen, which is the one question every system answers
// alike. A port that cannot be bound for want of a right is left for the engine
// to judge; for an address that is not this host's see HasAddress.
func (localSystem) PortHolder(bind string, port int, proto string) (string, bool) {
	address := net.JoinHostPort(bind, strconv.Itoa(port))
	var err error
	if proto == "udp" {
		var c net.PacketConn
		if c, err = net.ListenPacket("udp", address); err == nil {
			c.Close()
		}
	} else {
		var l net.Listener
		if l, err = net.Listen("tcp", address); err == nil {
			l.Close()
		}
	}
	if !addressInUse(err) {
		return "", false
	}
	if process, ok := listener(port, proto); ok {
		return process, true
	}
	return "another process", true
}

// HasAddress tries to listen as well. Only a clear no counts.
func (localSystem) HasAddress(address string) bool {
	l, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		return !notLocal(err)
	}
	l.Close()
	return true
}

// Ranges are those of the interfaces and, where the system tells, the routes.
func (localSystem) Ranges() ([]HostRange, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var out []HostRange
	for _, ifc := range interfaces {
		addrs, err := ifc.Addrs()
		if err != nil {
			return nil, fmt.Errorf("interface %s: %w", ifc.Name, err)
		}
		for _, addr := range addrs {
			if p, err := netip.ParsePrefix(addr.String()); err == nil && p.Addr().Is4() && !p.Addr().IsLoopback() {
				out = append(out, HostRange{p.Masked(), ifc.Name})
			}
		}
	}
	routes, err := routes()
	return append(out, routes...), err
}
