package node

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"openshell.ai/openshell/pkg/gateway"
)

func TestInitializedIsMarkedOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gateway.json")
	settings := gateway.Settings{
		Name: "dev", Port: 8080, Bind: "127.0.0.1",
		Network: gateway.Network{
			Subnet: netip.MustParsePrefix("10.1.0.0/24"), PodCIDR: netip.MustParsePrefix("10.2.0.0/20"), ServiceCIDR: netip.MustParsePrefix("10.3.0.0/20"),
		},
	}
	if err := os.WriteFile(path, settings.Encode(), 0o600); err != nil {
		t.Fatal(err)
	}
	first := time.Date(2026, 11, 21, 21, 0, 0, 0, time.UTC)
	for _, now := range []time.Time{first, first.Add(time.Hour)} {
		if err := markInitialized(path, now); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := gateway.DecodeSettings(data)
		if err != nil {
			t.Fatal(err)
		}
		if got.Initialized == nil || !got.Initialized.Equal(first) || got.Port != 8080 {
			t.Errorf("at %s: initialized %v, port %d", now, got.Initialized, got.Port)
		}
	}
}

// What cannot be read is left as it is, for somebody to look at.
func TestDamagedSettingsAreNotWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gateway.json")
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := markInitialized(path, time.Now()); err == nil {
		t.Error("no error")
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "{" {
		t.Errorf("now it is %q, %v", data, err)
	}
}
