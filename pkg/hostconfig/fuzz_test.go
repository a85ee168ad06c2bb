package hostconfig

import (
	"strings"
	"testing"

	"openshell.ai/openshell/pkg/gateway"
)

func FuzzMetadata(f *testing.F) {
	f.Add([]byte(`{"name":"a","endpoint":"https://127.0.0.1:8080","port":8080,"bind":"127.0.0.1","httpPort":0,"vpnPort":0}`))
	f.Add([]byte(`{"name":"../a","port":1}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := decodeMetadata(data)
		if err != nil {
			return
		}
		if _, err := gateway.ParseName(string(m.Name)); err != nil || m.Port < 1 || m.Port > 65535 {
			t.Errorf("accepted %+v", m)
		}
	})
}

func FuzzActive(f *testing.F) {
	f.Add([]byte("openshell\n"))
	f.Add([]byte("../../etc/passwd\n"))
	f.Add([]byte("a\r\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		name, err := parseActive(data)
		if err == nil && strings.ContainsAny(string(name), "/\\\n\r \x00") {
			t.Errorf("accepted %q", name)
		}
	})
}

func FuzzHolder(f *testing.F) {
	f.Add([]byte(`{"pid":1,"command":"openshell gateway start","since":"2026-01-02T03:04:05Z"}   `))
	f.Add([]byte(`{"pid":-1,"command":"\u001b[2J"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := decodeHolder(data)
		if err != nil {
			return
		}
		if h.PID <= 0 || h.Command == "" || strings.ContainsAny(h.String(), "\x1b\n\r\a") {
			t.Errorf("accepted %+v", h)
		}
	})
}

func FuzzDirName(f *testing.F) {
	f.Add("Foo.bar_9")
	f.Add("con.x")
	f.Fuzz(func(t *testing.T, s string) {
		if name, err := gateway.ParseName(s); err == nil {
			if back, ok := nameOfDir(dirName(name)); !ok || back != name {
				t.Errorf("%q reads back as %q, %v", name, back, ok)
			}
		}
		if name, ok := nameOfDir(s); ok && dirName(name) != s {
			t.Errorf("directory %q reads as %q", s, name)
		}
	})
}
