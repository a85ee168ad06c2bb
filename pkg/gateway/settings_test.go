package gateway

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func sample() Settings {
	at := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	return Settings{
		Version: 1, Name: "dev", Port: 8080, Bind: "127.0.0.1", GatewayHosts: []string{"box.lan"}, HTTPPort: 7100, HTTPTLS: true, CPUs: 1.5, Memory: 2 << 30,
		Network: Network{netip.MustParsePrefix("10.208.32.0/24"), netip.MustParsePrefix("10.208.0.0/20"), netip.MustParsePrefix("10.208.16.0/20")},
		Image:   Image{"openshell/cluster:v1", "sha256:1", "v1"}, CreatedAt: at, Initialized: &at,
	}
}

func TestSettingsRoundTrip(t *testing.T) {
	got, err := DecodeSettings(sample().Encode())
	if diff := cmp.Diff(sample(), got, cmpopts.EquateComparable(netip.Prefix{})); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

func TestSettingsNameTheFieldThatIsWrong(t *testing.T) {
	for field, change := range map[string]func(*Settings){
		"name":                func(s *Settings) { s.Name = "-" },
		"port":                func(s *Settings) { s.Port = 0 },
		"httpPort":            func(s *Settings) { s.HTTPPort = -1 },
		"vpnPort":             func(s *Settings) { s.VPNPort = 70000 },
		"bind":                func(s *Settings) { s.Bind = "localhost" },
		"network.subnet":      func(s *Settings) { s.Network.Subnet = netip.Prefix{} },
		"network.podCIDR":     func(s *Settings) { s.Network.PodCIDR = netip.Prefix{} },
		"network.serviceCIDR": func(s *Settings) { s.Network.ServiceCIDR = netip.Prefix{} },
	} {
		s := sample()
		change(&s)
		if _, err := DecodeSettings(s.Encode()); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	if _, err := DecodeSettings([]byte(`{"version": 2}`)); err == nil || !strings.Contains(err.Error(), "version is 2") {
		t.Errorf("a later version: %v", err)
	}
}

func FuzzDecodeSettings(f *testing.F) {
	f.Add(sample().Encode())
	f.Add([]byte(`{"version":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := DecodeSettings(data)
		if err != nil {
			return
		}
		if _, err := DecodeSettings(s.Encode()); err != nil {
			t.Errorf("accepted once, then not: %v", err)
		}
	})
}
