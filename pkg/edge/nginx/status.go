package nginx

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

const statusTimeout = time.Second

// serving asks nginx which generation it serves. A worker of the one before may
// answer while a reload goes on.
func serving(ctx context.Context, run string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "unix", StatusSocket(run))
	if err != nil {
		return "", err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	if _, err := io.WriteString(conn, "GET "+GenerationPath+" HTTP/1.0\r\n\r\n"); err != nil {
		return "", err
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("nginx answers %s", response.Status)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<10))
	return string(body), err
}
