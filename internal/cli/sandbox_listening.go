package cli

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	datamodelv1 "openshell.ai/openshell/pkg/api/openshell/datamodel/v1"
	"openshell.ai/openshell/pkg/gatewayclient"
	"openshell.ai/openshell/pkg/sandboxapi"
	"openshell.ai/openshell/pkg/sandboxssh"
)

// lookTime bounds the look at who listens, which is only a kindness.
const lookTime = 3 * time.Second

// listeners says who listens on a port.
type listeners struct {
	open     bool // somebody, for others than the sandbox itself
	loopback bool // somebody, on the loopback
}

// listening is advice for a port that cannot be reached; empty: it can, or
// nobody knows.
func (v *sandboxVerb) listening(ctx context.Context, client *gatewayclient.Client, s *datamodelv1.Sandbox, port uint32) string {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	ssh, err := client.Connect(ctx, s)
	if err != nil {
		return ""
	}
	defer ssh.Close()
	var table bytes.Buffer
	// A kernel without IPv6 has no second file, and the first will do.
	look := sandboxapi.Exec{Argv: []string{"cat", "/proc/net/tcp", "/proc/net/tcp6"}}
	if _, err := ssh.Exec(ctx, look, sandboxssh.Streams{Stdout: &table}); err != nil || table.Len() == 0 {
		return ""
	}
	switch who := parseListeners(table.String(), port); {
	case who.open:
		return ""
	case who.loopback:
		return fmt.Sprintf("the application listens on 127.0.0.1 only; have it listen on 0.0.0.0, or use `openshell forward start %s %d`", s.GetName(), port)
	}
	return fmt.Sprintf("nothing listens on port %d of sandbox %s yet; the application has to listen on 0.0.0.0 and port %d, not on 127.0.0.1 only", port, s.GetName(), port)
}

// parseListeners reads the kernel's tables of TCP sockets: addresses are in
// hexadecimal, in words of the processor's order.
func parseListeners(table string, port uint32) (who listeners) {
	const (
		localField, stateField = 1, 3
		listen                 = "0A"
	)
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) <= stateField || fields[stateField] != listen {
			continue
		}
		address, text, _ := strings.Cut(fields[localField], ":")
		if number, err := strconv.ParseUint(text, 16, 16); err != nil || uint32(number) != port {
			continue
		}
		if isLoopback(address) {
			who.loopback = true
		} else {
			who.open = true
		}
	}
	return who
}

// isLoopback knows 127.0.0.0/8, that mapped into IPv6, and ::1.
func isLoopback(address string) bool {
	const (
		words  = 8 // digits of one
		mapped = "0000000000000000FFFF0000"
		one    = "00000000000000000000000001000000"
	)
	if address == one {
		return true
	}
	v4 := strings.TrimPrefix(address, mapped)
	return len(v4) == words && strings.HasSuffix(v4, "7F")
}
