package layout

import (
	"strings"
	"testing"
)

const header = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"

func TestParseRoutes(t *testing.T) {
	for name, test := range map[string]struct{ routes, want string }{
		"one network":       {header + "eth0\t00000000\t012010AC\t0003\t0\t0\t0\t00000000\t0\t0\t0\neth0\t002010AC\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n", "eth0"},
		"a second network":  {header + "eth0\t002010AC\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\neth1\t00000000\t012010AC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n", "eth1"},
		"half of the world": {header + "tun0\t00000000\t012010AC\t0003\t0\t0\t0\t00000080\t0\t0\t0\n", ""},
		"no route yet":      {header, ""},
		"nothing":           {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseRoutes(strings.NewReader(test.routes))
			if err != nil || got != test.want {
				t.Errorf("got %q, %v; want %q", got, err, test.want)
			}
		})
	}
}

func FuzzParseRoutes(f *testing.F) {
	f.Add(header + "eth0\t00000000\t012010AC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n")
	f.Fuzz(func(t *testing.T, routes string) {
		name, err := parseRoutes(strings.NewReader(routes))
		if err == nil && name != "" && !strings.Contains(routes, name) {
			t.Errorf("interface %q is not in the routes", name)
		}
	})
}
