package layout

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"
)

// routeFile is the kernel's table of IPv4 routes, see proc(5): a line each,
// the interface first, then the destination in hexadecimal.
const routeFile = "/proc/net/route"

const (
	routeWithin = 10 * time.Second // the engine may still be connecting the network
	lookEvery   = 50 * time.Millisecond
)

// address is the interface with the default route and its IPv4 address: on a
// container with several networks the one that the published ports lead to.
func address(routes string) (link string, ip netip.Addr, err error) {
	for deadline := time.Now().Add(routeWithin); ; time.Sleep(lookEvery) {
		name, err := defaultInterface(routes)
		if err != nil {
			return "", netip.Addr{}, fmt.Errorf("routes: %w", err)
		}
		if name != "" {
			ip, err := addressOf(name)
			return name, ip, err
		}
		if time.Now().After(deadline) {
			return "", netip.Addr{}, errors.New("the container has no default route")
		}
	}
}

func defaultInterface(routes string) (string, error) {
	file, err := os.Open(routes)
	if err != nil {
		return "", err
	}
	defer file.Close()
	return parseRoutes(file)
}

// parseRoutes returns the interface of the first default route, "" if there is
// none.
func parseRoutes(r io.Reader) (string, error) {
	const anywhere = "00000000"
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) > 7 && fields[1] == anywhere && fields[7] == anywhere {
			return fields[0], nil
		}
	}
	return "", lines.Err()
}

func addressOf(name string) (netip.Addr, error) {
	link, err := net.InterfaceByName(name)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("interface %s: %w", name, err)
	}
	addrs, err := link.Addrs()
	if err != nil {
		return netip.Addr{}, fmt.Errorf("addresses of %s: %w", name, err)
	}
	for _, a := range addrs {
		prefix, err := netip.ParsePrefix(a.String())
		if err == nil && prefix.Addr().Is4() {
			return prefix.Addr(), nil
		}
	}
	return netip.Addr{}, fmt.Errorf("interface %s has no IPv4 address", name)
}
