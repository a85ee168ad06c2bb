package sandboxapi

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// HintPort of the gateway takes one line in plain from a supervisor that has
// begun to listen: "hello <id>\n". The gateway hears of a pod's address from
// Kubernetes up to a second later. It believes nothing of the line: it only
// tries the address that the line came from, by preface and host key.
const HintPort = 8082

// EnvHint of the supervisor is where hints go, host:port; empty or unset: none.
const EnvHint = "OPENSHELL_HINT_ADDR"

const (
	hintGreeting = "hello "
	maxHint      = 64 // bytes of the line
	hintTimeout  = 2 * time.Second
)

// SendHint tells the gateway at address, "host:port", that the supervisor of
// the sandbox listens. That it could not be told is no harm.
func SendHint(ctx context.Context, address, id string) error {
	ctx, cancel := context.WithTimeout(ctx, hintTimeout)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	_, err = io.WriteString(conn, hintGreeting+id+"\n")
	return err
}

// ReadHint reads the line and returns the id that it claims.
func ReadHint(r io.Reader) (id string, err error) {
	line, err := bufio.NewReaderSize(io.LimitReader(r, maxHint), maxHint).ReadString('\n')
	if err != nil {
		return "", err
	}
	id, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), hintGreeting)
	if !ok || id == "" || strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return "", fmt.Errorf("%d bytes are no hint", len(line))
	}
	return id, nil
}
