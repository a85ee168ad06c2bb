package bootstrap

import (
	"net/netip"

	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gateway"
)

// vpnRange is what the gateway's own VPN gives to its clients.
var vpnRange = netip.MustParsePrefix("172.16.0.0/16")

// pools are where address ranges are taken from, best first: parts of the
// private space that home routers, offices and Docker's own defaults rarely use,
// then the rest, then the carrier-grade space.
var pools = []netip.Prefix{
	netip.MustParsePrefix("10.208.0.0/12"),
	netip.MustParsePrefix("10.128.0.0/9"),
	netip.MustParsePrefix("172.24.0.0/13"),
	netip.MustParsePrefix("192.168.128.0/17"),
	netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("10.0.0.0/9"),
	netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"),
}

const (
	subnetBits  = 24 // one container
	podBits     = 20
	serviceBits = 20
)

// widestRoute is the shortest prefix that counts as a place rather than as
// "everything", which default routes and VPNs that take all traffic announce.
const widestRoute = 8

// pickNetwork chooses the three ranges of a new gateway so that they meet
// neither each other, nor what is taken, nor the VPN's.
func pickNetwork(taken []TakenRange) (gateway.Network, error) {
	used := usedPrefixes(taken)
	var n gateway.Network
	for _, want := range []struct {
		to   *netip.Prefix
		bits int
	}{{&n.PodCIDR, podBits}, {&n.ServiceCIDR, serviceBits}, {&n.Subnet, subnetBits}} {
		p, err := firstFree(want.bits, used)
		if err != nil {
			return gateway.Network{}, err
		}
		*want.to = p
		used = append(used, p)
	}
	return n, nil
}

// pickSubnet chooses another Docker network for a gateway whose pod and service
// ranges stay.
func pickSubnet(have gateway.Network, taken []TakenRange) (netip.Prefix, error) {
	return firstFree(subnetBits, append(usedPrefixes(taken), have.PodCIDR, have.ServiceCIDR))
}

// takenBy names what meets the prefix.
func takenBy(p netip.Prefix, taken []TakenRange) (by string, ok bool) {
	for _, t := range taken {
		if t.Prefix.Bits() >= widestRoute && t.Prefix.Overlaps(p) {
			return t.By, true
		}
	}
	return "", false
}

func usedPrefixes(taken []TakenRange) []netip.Prefix {
	used := []netip.Prefix{vpnRange}
	for _, t := range taken {
		if t.Prefix.Addr().Is4() && t.Prefix.Bits() >= widestRoute {
			used = append(used, t.Prefix.Masked())
		}
	}
	return used
}

func firstFree(bits int, used []netip.Prefix) (netip.Prefix, error) {
	for _, pool := range pools {
		for p := netip.PrefixFrom(pool.Addr(), bits); pool.Contains(p.Addr()); p = following(p) {
			if !meetsAny(p, used) {
				return p, nil
			}
		}
	}
	return netip.Prefix{}, fault.New(fault.NoSubnet, fault.ExitConflict,
		"no private address range of /%d is free on this host", bits).
		Hint("remove networks that are no longer used: `docker network prune`")
}

func meetsAny(p netip.Prefix, used []netip.Prefix) bool {
	for _, u := range used {
		if u.Overlaps(p) {
			return true
		}
	}
	return false
}

// following is the prefix of the same size right behind p, of IPv4.
func following(p netip.Prefix) netip.Prefix {
	a := p.Addr().As4()
	n := uint32(a[0])<<24 | uint32(a[1])<<16 | uint32(a[2])<<8 | uint32(a[3])
	n += 1 << (32 - p.Bits())
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}), p.Bits())
}
