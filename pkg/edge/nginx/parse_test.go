package nginx

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"openshell.ai/openshell/pkg/edge"
)

var pods = netip.MustParsePrefix("10.208.0.0/20")

var compareAddr = cmpopts.EquateComparable(netip.Addr{})

func service(host, ip string, port uint16) edge.Service {
	return edge.Service{Host: host, IP: netip.MustParseAddr(ip), Port: port}
}

func TestParse(t *testing.T) {
	for input, want := range map[string][]edge.Service{
		"":                         nil,
		"\n":                       nil,
		"web 172.16.1.2 80":        {service("web", "172.16.1.2", 80)},
		"\nb 172.16.0.2 1\n\n\n":   {service("b", "172.16.0.2", 1)},
		"w 172.16.255.254 65535\n": {service("w", "172.16.255.254", 65535)},
		"jupyter-abc 172.16.1.2 8888\npgadmin-def 10.208.0.2 5050\n": {
			service("jupyter-abc", "172.16.1.2", 8888), service("pgadmin-def", "10.208.0.2", 5050),
		},
	} {
		got, err := Parse(strings.NewReader(input), pods)
		if diff := cmp.Diff(want, got, compareAddr); diff != "" || err != nil {
			t.Errorf("%q: %v (-want +got):\n%s", input, err, diff)
		}
	}
}

func TestParseRefusals(t *testing.T) {
	const good = "good 172.16.1.9 80\n"
	for line, want := range map[string]string{
		"web":                      `"host ip port"`,
		"web 172.16.1.2":           `"host ip port"`,
		"web 172.16.1.2 80 x":      `"host ip port"`,
		"web  172.16.1.2 80":       `"host ip port"`,
		" web 172.16.1.2 80":       `"host ip port"`,
		"web 172.16.1.2 80 ":       `"host ip port"`,
		"web\t172.16.1.2\t80":      `"host ip port"`,
		"web 172.16.1.2 80\r":      `"host ip port"`,
		"web 172.16.1.2 8\x7f0":    `"host ip port"`,
		"wéb 172.16.1.2 80":        `"host ip port"`,
		" ":                        `"host ip port"`,
		"Web 172.16.1.2 80":        `host: name "Web" is not 1 to 63 of a-z`,
		"-web 172.16.1.2 80":       `host: name "-web"`,
		"a.b 172.16.1.2 80":        `host: name "a.b"`,
		"we;b 172.16.1.2 80":       `host: name "we;b"`,
		"we{b 172.16.1.2 80":       `host: name "we{b"`,
		"$web 172.16.1.2 80":       `host: name "$web"`,
		"collab 172.16.1.2 80":     `host: name "collab" is the gateway's own`,
		"502 172.16.1.2 80":        `host: name "502" is the gateway's own`,
		"good 172.16.1.2 80":       `host: "good" is on line 1 already`,
		"web x 80":                 `ip: "x" is not accepted: give the IPv4 address of a client or pod in 172.16.0.0/16 or 10.208.0.0/20`,
		"web 172.16.1.2; 80":       `ip: "172.16.1.2;"`,
		"web 172.16.0.0 80":        `ip: "172.16.0.0"`,
		"web 172.16.0.1 80":        `ip: "172.16.0.1"`,
		"web 172.16.255.255 80":    `ip: "172.16.255.255"`,
		"web 172.17.0.1 80":        `ip: "172.17.0.1"`,
		"web 10.208.0.1 80":        `ip: "10.208.0.1"`,
		"web 10.208.16.1 80":       `ip: "10.208.16.1"`,
		"web 127.0.0.1 80":         `ip: "127.0.0.1"`,
		"web 172.16.01.2 80":       `ip: "172.16.01.2"`,
		"web ::ffff:172.16.1.2 80": `ip: "::ffff:172.16.1.2"`,
		"web 172.16.1.2%eth0 80":   `ip: "172.16.1.2%eth0"`,
		"web 172.16.1.2 0":         `port: "0" is not accepted: give a number from 1 to 65535`,
		"web 172.16.1.2 65536":     `port: "65536"`,
		"web 172.16.1.2 +80":       `port: "+80"`,
		"web 172.16.1.2 080":       `port: "080"`,
		"web 172.16.1.2 80;":       `port: "80;"`,
		strings.Repeat("a", 300):   "it is longer than 256 characters",
	} {
		got, err := Parse(strings.NewReader(good+line+"\nlast 172.16.1.3 80\n"), pods)
		if err == nil || len(got) != 0 || !strings.HasPrefix(err.Error(), "line 2: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v; want line 2 and %s", line, got, err, want)
		}
	}
	if _, err := Parse(strings.NewReader("web 10.208.0.2 80"), netip.Prefix{}); err == nil {
		t.Error("a pod's address was accepted where there are no pods")
	}
}

func TestParseBound(t *testing.T) {
	var input strings.Builder
	for i := range MaxServices {
		fmt.Fprintf(&input, "web-%d 172.16.1.2 80\n", i)
	}
	if got, err := Parse(strings.NewReader(input.String()), pods); err != nil || len(got) != MaxServices {
		t.Errorf("%d services, %v", len(got), err)
	}
	input.WriteString("more 172.16.1.2 80\n")
	if _, err := Parse(strings.NewReader(input.String()), pods); err == nil || !strings.Contains(err.Error(), "more than 4096") {
		t.Errorf("one more: %v", err)
	}
}

// Whatever is accepted becomes one line each of plain words, beside what is there
// without services.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "web 172.16.1.2 80\n", "a 172.16.1.2 80\nb 10.208.0.9 65535", "web 172.16.1.2 80; }\n", "we\x00b 172.16.1.2 80", "web 172.16.1.2 80\r\n",
		"a 172.16.1.2 80\na 172.16.1.2 81", "collab 172.16.1.2 80", "$a {} 1", "web 172.16.1.2 80\n}\nserver {\n",
	} {
		f.Add(seed)
	}
	plain := regexp.MustCompile(`^\t[a-z0-9-]+ [0-9.]+:[0-9]+;$`)
	settings := testSettings()
	base, err := Render(settings, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, input string) {
		services, err := Parse(strings.NewReader(input), pods)
		if err != nil {
			if services != nil {
				t.Errorf("%v beside %v", services, err)
			}
			return
		}
		config, err := Render(settings, services)
		if err != nil {
			t.Fatal(err)
		}
		if config.Main != base.Main {
			t.Error("services are in the main configuration")
		}
		added := without(lines(config), lines(base))
		if len(added) != len(services) {
			t.Errorf("%d services are %d lines: %q", len(services), len(added), added)
		}
		for _, line := range added {
			if !plain.MatchString(line) {
				t.Errorf("line %q", line)
			}
		}
	})
}

// lines of a configuration, but for the one that tells configurations apart.
func lines(config Config) []string {
	return strings.Split(strings.ReplaceAll(config.Live, config.Generation, ""), "\n")
}

// without takes the lines of base, in their order, from text.
func without(text, base []string) (added []string) {
	for _, line := range text {
		if len(base) > 0 && line == base[0] {
			base = base[1:]
		} else {
			added = append(added, line)
		}
	}
	return append(added, base...)
}
