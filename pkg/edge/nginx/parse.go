package nginx

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"

	"openshell.ai/openshell/pkg/edge"
)

// maxLine is longer than any line that is accepted.
const maxLine = 256

// Parse reads a full set of services, one "host ip port" a line. Addresses are
// those of VPN clients and, when pods is valid, those of pods. One line that is
// not accepted refuses the whole.
func Parse(r io.Reader, pods netip.Prefix) ([]edge.Service, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	lines.Split(scanLines)
	var services []edge.Service
	first := map[string]int{}
	number := 0
	for lines.Scan() {
		number++
		if lines.Text() == "" {
			continue
		}
		service, err := parseLine(lines.Text(), pods)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		if before, ok := first[service.Host]; ok {
			return nil, fmt.Errorf("line %d: host: %q is on line %d already; a host is accepted once", number, service.Host, before)
		}
		if len(services) == MaxServices {
			return nil, fmt.Errorf("line %d: there are more than %d services", number, MaxServices)
		}
		first[service.Host] = number
		services = append(services, service)
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, fmt.Errorf("line %d: it is longer than %d characters; accepted is \"host ip port\"", number+1, maxLine)
	case err != nil:
		return nil, fmt.Errorf("line %d: %w", number+1, err)
	}
	return services, nil
}

// scanLines is bufio.ScanLines that leaves a carriage return where it is, to be
// refused.
func scanLines(data []byte, atEOF bool) (int, []byte, error) {
	advance, token, err := bufio.ScanLines(data, atEOF)
	if token != nil {
		token = data[:advance]
		if token[len(token)-1] == '\n' {
			token = token[:len(token)-1]
		}
	}
	return advance, token, err
}

func parseLine(line string, pods netip.Prefix) (edge.Service, error) {
	fields := strings.Split(line, " ")
	if len(fields) != 3 || strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r > '~' }) {
		return edge.Service{}, fmt.Errorf("%q is not accepted: give \"host ip port\" with one space between them", line)
	}
	host := fields[0]
	if err := edge.CheckHost(host); err != nil {
		return edge.Service{}, fmt.Errorf("host: %w", err)
	}
	ip, err := parseAddress(fields[1], pods)
	if err != nil {
		return edge.Service{}, fmt.Errorf("ip: %w", err)
	}
	port, err := strconv.ParseUint(fields[2], 10, 16)
	if err != nil || port == 0 || strconv.FormatUint(port, 10) != fields[2] {
		return edge.Service{}, fmt.Errorf("port: %q is not accepted: give a number from 1 to 65535", fields[2])
	}
	return edge.Service{Host: host, IP: ip, Port: uint16(port)}, nil
}

// parseAddress accepts addresses that can be a client's or a pod's, not those of
// the container in these networks.
func parseAddress(text string, pods netip.Prefix) (netip.Addr, error) {
	networks := []netip.Prefix{netip.MustParsePrefix(edge.VPNNetwork)}
	if pods.IsValid() {
		networks = append(networks, pods)
	}
	ip, err := netip.ParseAddr(text)
	if err == nil && ip.Is4() {
		for _, network := range networks {
			if network.Contains(ip) && !own(network, ip) {
				return ip, nil
			}
		}
	}
	names := make([]string, len(networks))
	for i, network := range networks {
		names[i] = network.String()
	}
	return netip.Addr{}, fmt.Errorf("%q is not accepted: give the IPv4 address of a client or pod in %s", text, strings.Join(names, " or "))
}

// own are the network's own addresses: its first two, of which the second is the
// container's, and the last, for broadcasts.
func own(network netip.Prefix, ip netip.Addr) bool {
	base := network.Masked().Addr()
	return ip == base || ip == base.Next() || !network.Contains(ip.Next())
}
