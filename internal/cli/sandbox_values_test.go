package cli

import (
	"strings"
	"testing"
	"time"

	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gateway"
	"openshell.ai/openshell/pkg/sandboxapi"
)

func TestSandboxNames(t *testing.T) {
	for name, want := range map[string]bool{
		"a": true, "box": true, "a-b": true, "a.b-c.d": true, "0": true, strings.Repeat("a", 253): true,
		"": false, "A": false, "-a": false, "a-": false, ".a": false, "a.": false, "a..b": false, "a.-b": false, "a_b": false, "a b": false, "a/b": false, strings.Repeat("a", 254): false,
	} {
		err := checkSandboxName(name)
		if (err == nil) != want || err != nil && !fault.HasID(err, fault.BadName) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestParseEnv(t *testing.T) {
	here := func(name string) string { return map[string]string{"SET": "value"}[name] }
	for s, want := range map[string][2]string{
		"A=b": {"A", "b"}, "A=": {"A", ""}, "A=b=c": {"A", "b=c"}, "_a1=x y\n": {"_a1", "x y\n"}, "SET": {"SET", "value"},
	} {
		if got, ok := parseEnv(s, here); !ok || got != want {
			t.Errorf("%q: %q, %v", s, got, ok)
		}
	}
	for _, s := range []string{"", "=", "=b", "1=2", "A B=c", "A-B=c", "UNSET", "A=\x00"} {
		if got, ok := parseEnv(s, here); ok {
			t.Errorf("%q: %q", s, got)
		}
	}
}

func FuzzParseEnv(f *testing.F) {
	f.Add("A=b")
	f.Add("=\x00")
	f.Fuzz(func(t *testing.T, s string) {
		pair, ok := parseEnv(s, func(string) string { return "" })
		if ok && (pair[0]+"="+pair[1] != s || strings.ContainsAny(pair[0], "= \x00")) {
			t.Errorf("%q: %q", s, pair)
		}
	})
}

func TestParseUpload(t *testing.T) {
	const ws = sandboxapi.Workspace
	for s, want := range map[string]copySpec{
		"a": {"a", ws}, "a:b": {"a", ws + "/b"}, "a:/b/": {"a", "/b/"}, "./a:b:c": {"./a", ws + "/b:c"}, "a:~/b": {"a", ws + "/b"}, "a:./b": {"a", ws + "/b"}, "a:.": {"a", ws}, "a:~": {"a", ws},
	} {
		if got, ok := parseUpload(s, false); !ok || got != want {
			t.Errorf("%q: %+v, %v", s, got, ok)
		}
	}
	for s, want := range map[string]copySpec{`C:\x`: {`C:\x`, ws}, `C:\x:y`: {`C:\x`, ws + "/y"}, "c:/x:/y": {"c:/x", "/y"}, "c:x": {"c", ws + "/x"}} {
		if got, ok := parseUpload(s, true); !ok || got != want {
			t.Errorf("%q with drives: %+v, %v", s, got, ok)
		}
	}
	for _, s := range []string{"", ":", "a:", ":b", "a:b\x00"} {
		if got, ok := parseUpload(s, false); ok {
			t.Errorf("%q: %+v", s, got)
		}
	}
}

func FuzzParseUpload(f *testing.F) {
	f.Add("a:b", false)
	f.Add(`C:\a:b`, true)
	f.Fuzz(func(t *testing.T, s string, drives bool) {
		spec, ok := parseUpload(s, drives)
		if ok && (spec.local == "" || !strings.HasPrefix(s, spec.local) || !strings.HasPrefix(spec.remote, "/")) {
			t.Errorf("%q: %+v", s, spec)
		}
	})
}

func TestParseForward(t *testing.T) {
	for s, want := range map[string]forwardSpec{"80": {80, 80}, "8080:80": {8080, 80}, "1:65535": {1, 65535}} {
		if got, ok := parseForward(s); !ok || got != want {
			t.Errorf("%q: %+v, %v", s, got, ok)
		}
	}
	for _, s := range []string{"", ":", "0", "65536", "80:", ":80", "1:2:3", "http", " 80", "+80", "080", "80:0"} {
		if got, ok := parseForward(s); ok {
			t.Errorf("%q: %+v", s, got)
		}
	}
}

func FuzzParseForward(f *testing.F) {
	f.Add("8080:80")
	f.Fuzz(func(t *testing.T, s string) {
		spec, ok := parseForward(s)
		if ok && (spec.local < 1 || spec.local > 65535 || spec.port < 1 || spec.port > 65535) {
			t.Errorf("%q: %+v", s, spec)
		}
	})
}

func TestParseResources(t *testing.T) {
	for s, want := range map[string]string{"2": "2000m", "0.5": "500m", "500m": "500m", "0.001": "1m", "1.25": "1250m", "4096": "4096000m"} {
		if got, ok := parseCPU(s); !ok || got != want {
			t.Errorf("cpu %q: %q, %v", s, got, ok)
		}
	}
	for _, s := range []string{"", "0", "0m", "-1", "1e3", "many", "1.2.3", "4097", "0.0001", "m", "+5m", "05m"} {
		if got, ok := parseCPU(s); ok {
			t.Errorf("cpu %q: %q", s, got)
		}
	}
	for s, want := range map[string]string{"32m": "32Mi", "4g": "4Gi", "4GiB": "4Gi", "1.5g": "1536Mi", "33554433": "33554433", "2t": "2Ti"} {
		if got, ok := parseSandboxMemory(s); !ok || got != want {
			t.Errorf("memory %q: %q, %v", s, got, ok)
		}
	}
	for _, s := range []string{"", "0", "31m", "-4g", "-1", "much", "1k"} {
		if got, ok := parseSandboxMemory(s); ok {
			t.Errorf("memory %q: %q", s, got)
		}
	}
}

func FuzzParseResources(f *testing.F) {
	f.Add("500m")
	f.Add("1.5g")
	f.Fuzz(func(t *testing.T, s string) {
		if got, ok := parseCPU(s); ok {
			if again, ok := parseCPU(got); !ok || again != got {
				t.Errorf("cpu %q: %q, then %q", s, got, again)
			}
		}
		if got, ok := parseSandboxMemory(s); ok && (got == "" || strings.Trim(got, "0123456789KMGTi") != "") {
			t.Errorf("memory %q: %q", s, got)
		}
	})
}

func TestParseSince(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	parse := parseSince(func() time.Time { return now })
	for s, want := range map[string]time.Time{"10m": now.Add(-10 * time.Minute), "2026-01-01T00:00:00Z": time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)} {
		if got, ok := parse(s); !ok || !got.Equal(want) {
			t.Errorf("%q: %s, %v", s, got, ok)
		}
	}
	for _, s := range []string{"", "-5m", "yesterday", "2026-01-01"} {
		if got, ok := parse(s); ok {
			t.Errorf("%q: %s", s, got)
		}
	}
}

func TestShellQuote(t *testing.T) {
	for word, want := range map[string]string{"ls": "ls", "": "''", "a b": "'a b'", "it's": `'it'\''s'`, "$x": "'$x'", "--a=b/c.d": "--a=b/c.d", "*": "'*'"} {
		if got := shellQuote(word); got != want {
			t.Errorf("%q: %s", word, got)
		}
	}
}

func TestAge(t *testing.T) {
	for d, want := range map[time.Duration]string{-time.Second: "0s", 59 * time.Second: "59s", 61 * time.Minute: "1h", 47 * time.Hour: "47h", 49 * time.Hour: "2d"} {
		if got := age(d); got != want {
			t.Errorf("%s: %s", d, got)
		}
	}
}

func TestSSHHostsNeverMeet(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range [][2]string{{"openshell", "a"}, {"openshell", "a-b"}, {"a", "b"}, {"a-b", "c"}, {"a", "b-c"}, {"a_b", "c"}, {"a.b", "c"}, {"a", "b.c"}} {
		host := sshHost(gateway.Name(c[0]), c[1])
		if seen[host] {
			t.Errorf("%s twice", host)
		}
		seen[host] = true
	}
}

func TestSSHConfigSurvivesOddPaths(t *testing.T) {
	c := sshConfig{Host: "openshell-a", User: "sandbox", ProxyCommand: []string{"/my dir/100%/openshell", "ssh-proxy", "a"}, HostKeyAlias: "openshell-x", KnownHostsFile: "/my dir/100%/x"}
	block := c.block()
	for _, line := range []string{"    ProxyCommand '/my dir/100%%/openshell' ssh-proxy a\n", "    UserKnownHostsFile \"/my dir/100%%/x\"\n"} {
		if !strings.Contains(block, line) {
			t.Errorf("%q is missing in:\n%s", line, block)
		}
	}
}
