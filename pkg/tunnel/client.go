package tunnel

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strings"
	"time"
)

// Bounds of what a client reads of an answer.
const (
	maxHeader  = 64 << 10
	maxMessage = 1 << 10
)

// Gateway is where a client reaches its gateway.
type Gateway struct {
	Address string      // host:port
	TLS     *tls.Config // with the client's certificate; nil: plain
}

// Dial opens a tunnel to a sandbox's SSH daemon. The answer of a gateway that
// does not open it is an error *Refused.
func Dial(ctx context.Context, gateway Gateway, sandboxID, token string) (net.Conn, error) {
	request, err := request(gateway.Address, sandboxID, token)
	if err != nil {
		return nil, err
	}
	conn, err := dialGateway(ctx, gateway)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	tunnel, err := open(conn, request)
	if !stop() && err == nil {
		err = ctx.Err() // its deadline would stay on the connection
	}
	if err != nil {
		_ = conn.Close()
		return nil, errors.Join(ctx.Err(), err)
	}
	return tunnel, nil
}

func request(host, sandboxID, token string) (string, error) {
	for _, value := range []struct{ what, text string }{{"gateway address", host}, {"sandbox id", sandboxID}, {"token", token}} {
		if value.text == "" || strings.ContainsFunc(value.text, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			return "", fmt.Errorf("%s is empty or has characters that no header may have", value.what)
		}
	}
	return fmt.Sprintf("CONNECT %s HTTP/1.1\r\nHost: %s\r\n%s: %s\r\n%s: %s\r\n\r\n",
		Path, host, HeaderSandbox, sandboxID, HeaderToken, token), nil
}

func dialGateway(ctx context.Context, gateway Gateway) (net.Conn, error) {
	if gateway.TLS == nil {
		return new(net.Dialer).DialContext(ctx, "tcp", gateway.Address)
	}
	config := gateway.TLS.Clone()
	config.NextProtos = []string{"http/1.1"} // over HTTP/2 there is no raw connection to have
	return (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", gateway.Address)
}

// open sends the request and reads the answer, and not a byte beyond it that
// the tunnel would then miss.
func open(conn net.Conn, request string) (net.Conn, error) {
	if _, err := io.WriteString(conn, request); err != nil {
		return nil, fmt.Errorf("tunnel request: %w", err)
	}
	limited := &io.LimitedReader{R: conn, N: maxHeader}
	reader := bufio.NewReader(limited)
	response, err := http.ReadResponse(reader, &http.Request{Method: http.MethodConnect})
	if err != nil {
		return nil, fmt.Errorf("tunnel answer: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, refusal(response)
	}
	limited.N = math.MaxInt64
	return readFirst{Conn: conn, from: reader}, nil
}

func refusal(response *http.Response) *Refused {
	defer response.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(response.Body, maxMessage)) // the status says enough
	message, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
	message = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1 // it ends up on a terminal
		}
		return r
	}, message)
	if message == "" {
		message = strings.ToLower(http.StatusText(response.StatusCode))
	}
	return &Refused{Status: response.StatusCode, Message: message}
}
