package bootstrap

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestParseRoutes(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Fatal("the sample is of a little-endian machine")
	}
	const sample = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n" +
		"eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n" +
		"eth0\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n" +
		"tun0\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0\n"
	got, err := parseRoutes(strings.NewReader(sample))
	if err != nil || fmt.Sprint(got) != "[{0.0.0.0/0 eth0} {192.168.1.0/24 eth0} {10.0.0.0/8 tun0}]" {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := parseRoutes(strings.NewReader("Iface\neth0 zz 0 0 0 0 0 00000000\n")); err == nil {
		t.Error("an address that is none was accepted")
	}
}

func FuzzParseRoutes(f *testing.F) {
	f.Add("Iface\neth0\t0001A8C0\t0\t1\t0\t0\t0\t00FFFFFF\n")
	f.Fuzz(func(t *testing.T, table string) {
		ranges, err := parseRoutes(strings.NewReader(table))
		for _, r := range ranges {
			if err == nil && !r.Prefix.IsValid() {
				t.Errorf("%q: %v", table, r)
			}
		}
	})
}

func TestInodesOf(t *testing.T) {
	const sample = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n" +
		"   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1\n" +
		"   1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 4712 1\n" +
		"   2: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1\n"
	if got := inodesOf(sample, 8080, "tcp"); !slices.Equal(got, []string{"4711"}) {
		t.Errorf("tcp: %v", got)
	}
	if got := inodesOf(sample, 8080, "udp"); len(got) != 2 {
		t.Errorf("udp has no listening state: %v", got)
	}
}

func FuzzInodesOf(f *testing.F) {
	f.Add("0: 0100007F:1F90 0:0 0A 0 0 0 0 0 4711", 8080)
	f.Fuzz(func(t *testing.T, table string, port int) {
		if got := inodesOf(table, port, "tcp"); len(got) > len(table) {
			t.Errorf("%d inodes", len(got))
		}
	})
}

func TestPitfall08HolderIsNamed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	by, taken := localSystem{}.PortHolder("127.0.0.1", port, "tcp")
	if !taken || !strings.Contains(by, fmt.Sprint(os.Getpid())) {
		t.Errorf("%q, %t; this process is %d", by, taken, os.Getpid())
	}
	l.Close()
	if by, taken := (localSystem{}).PortHolder("127.0.0.1", port, "tcp"); taken {
		t.Errorf("a free port is held by %s", by)
	}
}

func TestRangesOfThisHost(t *testing.T) {
	ranges, err := localSystem{}.Ranges()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range ranges {
		if !r.Prefix.IsValid() || r.Prefix != r.Prefix.Masked() || r.Prefix.Addr().IsLoopback() {
			t.Errorf("%+v", r)
		}
	}
}
