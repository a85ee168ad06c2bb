package cli

import (
	"strings"
	"testing"
)

const socketTable = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1
   1: 0100007F:1F41 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 2
   2: 3500007F:1F41 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 2
   3: 0100007F:1F42 0100007F:C350 01 00000000:00000000 00:00000000 00000000  1000        0 3
   4: 0500000A:1F43 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:1F44 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 5
   1: 00000000000000000000000001000000:1F45 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 6
   2: 0000000000000000FFFF00000100007F:1F46 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 7
   3: 00000000000000000000000000000000:1F41 00000000000000000000000000000000:0000 06 00000000:00000000 00:00000000 00000000  1000        0 8
`

func TestListenersAreToldApart(t *testing.T) {
	for port, want := range map[uint32]listeners{
		8000: {open: true},
		8001: {loopback: true},
		8002: {}, // a connection
		8003: {open: true},
		8004: {open: true},
		8005: {loopback: true},
		8006: {loopback: true},
		80:   {},
	} {
		if got := parseListeners(socketTable, port); got != want {
			t.Errorf("port %d: %+v, want %+v", port, got, want)
		}
	}
}

func FuzzParseListeners(f *testing.F) {
	f.Add(socketTable, uint32(8000))
	f.Add("0: :1F40 0 0A", uint32(8000))
	f.Fuzz(func(t *testing.T, table string, port uint32) {
		who := parseListeners(table, port)
		if (who.open || who.loopback) && !strings.Contains(table, "0A") {
			t.Errorf("listeners %+v in %q", who, table)
		}
	})
}
