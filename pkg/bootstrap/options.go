package bootstrap

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/go-units"

	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gateway"
	"openshell.ai/openshell/pkg/pki"
)

// minMemory is less than any node can live with.
const minMemory = 256 << 20

// Validate reports the first flag whose value is out of its accepted form.
func (o StartOptions) Validate() error {
	bad := func(flag, format string, args ...any) error {
		return fault.New(fault.BadValue, fault.ExitUsage, "--%s %s", flag, fmt.Sprintf(format, args...))
	}
	if _, err := gateway.ParseName(string(o.Name)); err != nil {
		return err
	}
	if o.Port != nil && (*o.Port < 1 || *o.Port > 65535) {
		return bad("port", "is %d, not 1 to 65535", *o.Port)
	}
	if o.HTTPPort != nil && (*o.HTTPPort < 0 || *o.HTTPPort > 65535) {
		return bad("http-port", "is %d, not 1 to 65535, or 0 for none", *o.HTTPPort)
	}
	if o.VPNPort != nil && (*o.VPNPort < 0 || *o.VPNPort > 65535) {
		return bad("vpn-port", "is %d, not 1 to 65535, or 0 for none", *o.VPNPort)
	}
	if o.Bind != nil {
		if a, err := netip.ParseAddr(*o.Bind); err != nil || a.Zone() != "" {
			return bad("bind", "is %q, not an IP address", *o.Bind)
		}
	}
	if o.GatewayHosts != nil {
		for _, host := range *o.GatewayHosts {
			if err := pki.CheckSAN(host); err != nil {
				return bad("gateway-host", "%q: %v", host, err)
			}
		}
	}
	if o.CPUs != nil && !(*o.CPUs == 0 || *o.CPUs >= 0.01 && *o.CPUs <= 4096) {
		return bad("cpus", "is %v, not a number of cores from 0.01 on, or 0 for no limit", *o.CPUs)
	}
	if o.Memory != nil && *o.Memory != 0 && *o.Memory < minMemory {
		return bad("memory", "is %s, less than %s; 0 is no limit", units.BytesSize(float64(*o.Memory)), units.BytesSize(minMemory))
	}
	if o.Timeout < 0 {
		return bad("timeout", "is %s, not a positive duration", o.Timeout)
	}
	if o.IdleTimeout < 0 {
		return bad("idle-timeout", "is %s, not a positive duration", o.IdleTimeout)
	}
	return nil
}

// change is an explicit flag that differs from what the gateway has.
type change struct{ Flag, From, To string }

func (c change) String() string { return fmt.Sprintf("%s %s -> %s", c.Flag, c.From, c.To) }

// apply returns the settings with the flags that were given, and what differs.
func (o StartOptions) apply(have gateway.Settings) (want gateway.Settings, changes []change) {
	want = have
	set := func(flag, from, to string) {
		if from != to {
			changes = append(changes, change{flag, from, to})
		}
	}
	if o.Port != nil {
		want.Port = *o.Port
		set("port", strconv.Itoa(have.Port), strconv.Itoa(want.Port))
	}
	if o.Bind != nil {
		want.Bind = netip.MustParseAddr(*o.Bind).String()
		set("bind", have.Bind, want.Bind)
	}
	if o.GatewayHosts != nil {
		want.GatewayHosts = normalHosts(*o.GatewayHosts)
		set("gateway-host", list(normalHosts(have.GatewayHosts)), list(want.GatewayHosts))
	}
	if o.HTTPPort != nil {
		want.HTTPPort = *o.HTTPPort
		set("http-port", portWord(have.HTTPPort), portWord(want.HTTPPort))
	}
	if o.HTTPTLS != nil {
		want.HTTPTLS = *o.HTTPTLS
		set("http-tls", switchWord(have.HTTPTLS), switchWord(want.HTTPTLS))
	}
	if o.VPNPort != nil {
		want.VPNPort = *o.VPNPort
		set("vpn-port", portWord(have.VPNPort), portWord(want.VPNPort))
	}
	if o.CPUs != nil {
		want.CPUs = *o.CPUs
		set("cpus", cpuWord(have.CPUs), cpuWord(want.CPUs))
	}
	if o.Memory != nil {
		want.Memory = *o.Memory
		set("memory", memoryWord(have.Memory), memoryWord(want.Memory))
	}
	return want, changes
}

// fresh are the settings of a new gateway.
func (o StartOptions) fresh(httpPort int) gateway.Settings {
	want, _ := o.apply(gateway.Settings{
		Version:  1,
		Name:     o.Name,
		Port:     gateway.DefaultPort,
		Bind:     gateway.DefaultBind,
		HTTPPort: httpPort,
	})
	return want
}

// normalHosts sorts and removes what is there twice.
func normalHosts(hosts []string) []string {
	if len(hosts) == 0 {
		return nil
	}
	out := slices.Clone(hosts)
	slices.Sort(out)
	return slices.Compact(out)
}

func list(words []string) string {
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, ",")
}

func portWord(port int) string {
	if port == 0 {
		return "none"
	}
	return strconv.Itoa(port)
}

func switchWord(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

func cpuWord(cpus float64) string {
	if cpus == 0 {
		return "unlimited"
	}
	return strconv.FormatFloat(cpus, 'f', -1, 64)
}

func memoryWord(bytes int64) string {
	if bytes == 0 {
		return "unlimited"
	}
	return units.BytesSize(float64(bytes))
}
