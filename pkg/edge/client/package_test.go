package client

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"openshell.ai/openshell/pkg/edge/containers"
)

var keys = Keys{CA: "-----BEGIN CERTIFICATE-----\nCA\n-----END CERTIFICATE-----\n", Certificate: "CRT", Key: "KEY", TA: "# static\nTA"}

func newPackage(t testing.TB) Package {
	t.Helper()
	c := containers.Container{ID: "0123456789abcdef", Name: "web", Address: netip.MustParseAddr("172.16.1.1"),
		Services: []containers.Service{{Host: "site", Port: 8080}}, Created: time.Unix(0, 0)}
	p, err := NewPackage(c, strings.Repeat("t", 43), keys, []Remote{{"gateway", 49100}, {"192.0.2.1", 1}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPackageIsOneFile(t *testing.T) {
	want := newPackage(t)
	data, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "package.json")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := ReadPackage(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("package (-want +got):\n%s", diff)
	}
	for _, want := range []string{"remote gateway 49100\nremote 192.0.2.1 1\n", "<ca>\n-----BEGIN CERTIFICATE-----\nCA\n", "<tls-crypt>\n# static\nTA\n</tls-crypt>", "remote-cert-tls server\n"} {
		if !strings.Contains(got.Config, want) {
			t.Errorf("no %q in:\n%s", want, got.Config)
		}
	}
	if strings.Contains(got.Config, got.Token) {
		t.Error("the configuration has the token")
	}
}

func TestParsePackageRefuses(t *testing.T) {
	for want, change := range map[string]func(*Package){
		"version":           func(p *Package) { p.Version = 2 },
		"container id":      func(p *Package) { p.ID = "../../etc" },
		"container name":    func(p *Package) { p.Name = "" },
		"token":             func(p *Package) { p.Token = "a b" },
		"token is not":      func(p *Package) { p.Token = strings.Repeat("t", 30) + "\r\nX: y" },
		"address":           func(p *Package) { p.Address = netip.Addr{} },
		"gateway":           func(p *Package) { p.Gateway = "ftp://x" },
		"gateway \"http://": func(p *Package) { p.Gateway = "http://user@172.16.0.1" },
		"0 remotes":         func(p *Package) { p.Remotes = nil },
		"no host name":      func(p *Package) { p.Remotes[0].Host = "a b" },
		"port of remote":    func(p *Package) { p.Remotes[0].Port = 0 },
		"is the gateway's":  func(p *Package) { p.Services[0].Host = "collab" },
		"is not accepted":   func(p *Package) { p.Config += "up /bin/sh\n" },
		"accepted: \"plu":   func(p *Package) { p.Config += "plugin /tmp/x.so\n" },
		"begins no block":   func(p *Package) { p.Config += "<connection>\n" },
		"inside another":    func(p *Package) { p.Config = strings.Replace(p.Config, "CRT", "<ca>", 1) },
		"control character": func(p *Package) { p.Config += "verb 1\x00\n" },
		"too long":          func(p *Package) { p.Config += "verb " + strings.Repeat("1", 300) },
		"not all of its":    func(p *Package) { p.Config = settings },
		"not all of":        func(p *Package) { p.Config = strings.TrimSuffix(p.Config, "</tls-crypt>\n") },
	} {
		t.Run(want, func(t *testing.T) {
			p := newPackage(t)
			change(&p)
			data, err := json.Marshal(p)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := ParsePackage(data); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v; want %q", err, want)
			}
		})
	}
	for _, text := range []string{"", "null", "[]", "{}{}", strings.Repeat(" ", maxPackage+1)} {
		if _, err := ParsePackage([]byte(text)); err == nil {
			t.Errorf("%.20q is accepted", text)
		}
	}
}

func FuzzParsePackage(f *testing.F) {
	data, err := json.Marshal(newPackage(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"version":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ParsePackage(data)
		if err != nil {
			return
		}
		written, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParsePackage(written); err != nil && len(written) <= maxPackage {
			t.Fatalf("refuses what it wrote: %v", err)
		}
	})
}

// Whatever is accepted starts no program and loads nothing.
func FuzzCheckConfig(f *testing.F) {
	f.Add(newPackage(f).Config)
	f.Add(settings + "<ca>\n</ca>\nup x\n")
	f.Fuzz(func(t *testing.T, text string) {
		if checkConfig(text) != nil {
			return
		}
		inside := false
		for line := range strings.SplitSeq(text, "\n") {
			line = strings.TrimSpace(line)
			if strings.HasPrefix(line, "</") {
				inside = false
			} else if strings.HasPrefix(line, "<") {
				inside = true
			} else if word, _, _ := strings.Cut(line, " "); !inside && (word == "up" || word == "plugin" || word == "config" || word == "script-security") {
				t.Fatalf("accepts %q", line)
			}
		}
	})
}
