package cli

import (
	"net/netip"
	"testing"

	openshellv1 "openshell.ai/openshell/pkg/api/openshell/v1"
)

func TestURLsOfExposedPorts(t *testing.T) {
	for _, c := range []struct {
		web       webServer
		url, path string
	}{
		{webServer{netip.MustParseAddr("127.0.0.1"), 7100, false}, "http://shop.localhost:7100/", "http://127.0.0.1:7100/shop/"},
		{webServer{netip.MustParseAddr("127.0.0.1"), 7100, true}, "https://shop.localhost:7100/", "https://127.0.0.1:7100/shop/"},
		{webServer{netip.MustParseAddr("10.9.0.1"), 7100, true}, "https://10.9.0.1:7100/shop/", "https://10.9.0.1:7100/shop/"},
		{webServer{netip.MustParseAddr("127.0.0.1"), 0, true}, "", ""},
	} {
		d := c.web.document(&openshellv1.Route{Host: "shop"})
		if d.URL != c.url || d.PathURL != c.path {
			t.Errorf("%+v: %q, %q", c.web, d.URL, d.PathURL)
		}
	}
}
