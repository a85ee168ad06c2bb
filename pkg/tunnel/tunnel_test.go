package tunnel

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

const (
	goodToken  = "good-token"
	otherToken = "token-of-another"
)

// fakeGateway knows two tokens and one sandbox, which echoes.
type fakeGateway struct {
	verify error
	dial   error
	reach  func() net.Conn
}

func (fakeGateway) Name(token string) string { return "name of " + token }

func (f fakeGateway) Verify(_ context.Context, token string) (string, error) {
	switch {
	case f.verify != nil:
		return "", f.verify
	case token == goodToken, strings.HasPrefix(token, goodToken+"-"):
		return "box", nil
	case token == otherToken:
		return "another", nil
	}
	return "", fmt.Errorf("looked up: %w", ErrUnauthorized)
}

func (f fakeGateway) Dial(context.Context, string) (net.Conn, error) {
	if f.dial != nil {
		return nil, f.dial
	}
	return f.reach(), nil
}

// serve runs a gateway whose sandbox is served by daemon.
func serve(t *testing.T, gateway fakeGateway, daemon func(*net.TCPConn)) (*Handler, Gateway) {
	t.Helper()
	sandbox, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { sandbox.Close() })
	go func() {
		for {
			conn, err := sandbox.Accept()
			if err != nil {
				return
			}
			go daemon(conn.(*net.TCPConn))
		}
	}()
	gateway.reach = func() net.Conn {
		conn, err := net.Dial("tcp", sandbox.Addr().String())
		must(t, err)
		return conn
	}
	h := NewHandler(gateway, gateway, slog.New(slog.DiscardHandler))
	server := httptest.NewUnstartedServer(h)
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(func() { h.Close(); server.Close() })
	config := server.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	return h, Gateway{Address: server.Listener.Addr().String(), TLS: config}
}

func echo(conn *net.TCPConn) {
	_, _ = io.Copy(conn, conn)
	_ = conn.CloseWrite()
}

func dialTunnel(t *testing.T, g Gateway, token string) net.Conn {
	t.Helper()
	conn, err := Dial(t.Context(), g, "box", token)
	must(t, err)
	must(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestCarriesBytesBothWaysAndPassesTheEndOn(t *testing.T) {
	_, g := serve(t, fakeGateway{}, func(conn *net.TCPConn) {
		// Answers only when the client has ended its half.
		all, _ := io.ReadAll(conn)
		_, _ = fmt.Fprintf(conn, "got %d bytes", len(all))
		_ = conn.CloseWrite()
	})
	conn := dialTunnel(t, g, goodToken)
	payload := strings.Repeat("0123456789abcdef", 1<<16)
	_, err := io.WriteString(conn, payload)
	must(t, err)
	must(t, conn.(interface{ CloseWrite() error }).CloseWrite())
	answer, err := io.ReadAll(conn)
	must(t, err)
	if want := fmt.Sprintf("got %d bytes", len(payload)); string(answer) != want {
		t.Errorf("answer = %q, want %q", answer, want)
	}
}

func TestDaemonThatSpeaksFirstLosesNoByte(t *testing.T) {
	_, g := serve(t, fakeGateway{}, func(conn *net.TCPConn) {
		_, _ = io.WriteString(conn, "SSH-2.0-test\r\n")
		echo(conn)
	})
	for range 20 { // the banner comes with the answer or after it
		conn := dialTunnel(t, g, goodToken)
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil || line != "SSH-2.0-test\r\n" {
			t.Fatalf("first line = %q, %v", line, err)
		}
		conn.Close()
	}
}

func TestClientThatSpeaksBeforeTheAnswerLosesNoByte(t *testing.T) {
	_, g := serve(t, fakeGateway{}, echo)
	g.TLS.NextProtos = []string{"http/1.1"}
	conn, err := tls.Dial("tcp", g.Address, g.TLS)
	must(t, err)
	defer conn.Close()
	must(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	req, err := request(g.Address, "box", goodToken)
	must(t, err)
	_, err = io.WriteString(conn, req+"early bird\n")
	must(t, err)
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(reader, &http.Request{Method: http.MethodConnect})
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatal(response, err)
	}
	if line, err := reader.ReadString('\n'); line != "early bird\n" {
		t.Errorf("echo = %q, %v", line, err)
	}
}

func TestRefusals(t *testing.T) {
	for _, tt := range []struct {
		name    string
		gateway fakeGateway
		id      string
		token   string
		want    int
	}{
		{"unknown token", fakeGateway{}, "box", "guess", 401},
		{"token for another sandbox", fakeGateway{}, "box", otherToken, 401},
		{"tokens cannot be checked", fakeGateway{verify: errors.New("API is away: " + goodToken)}, "box", goodToken, 503},
		{"sandbox gone", fakeGateway{dial: fmt.Errorf("dial: %w", ErrGone)}, "box", goodToken, 404},
		{"sandbox not ready", fakeGateway{dial: fmt.Errorf("dial: %w", ErrNotReady)}, "box", goodToken, 412},
		{"dial failed", fakeGateway{dial: errors.New("connection refused by 10.0.0.1")}, "box", goodToken, 502},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, g := serve(t, tt.gateway, echo)
			_, err := Dial(t.Context(), g, tt.id, tt.token)
			var refused *Refused
			if !errors.As(err, &refused) || refused.Status != tt.want {
				t.Fatalf("Dial() error = %v, want HTTP %d", err, tt.want)
			}
			for _, secret := range []string{goodToken, otherToken, "10.0.0.1"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("error tells %q: %v", secret, err)
				}
			}
			if strings.ContainsAny(refused.Message, "\r\n") || refused.Message == "" {
				t.Errorf("message %q is not one line", refused.Message)
			}
		})
	}
}

func TestRequestsThatAreNoTunnel(t *testing.T) {
	_, g := serve(t, fakeGateway{}, echo)
	h2 := &http.Client{Transport: &http.Transport{TLSClientConfig: g.TLS, ForceAttemptHTTP2: true}}
	for _, tt := range []struct {
		name   string
		header []string
		method string
		want   int
	}{
		{"GET", []string{HeaderSandbox, "box", HeaderToken, goodToken}, "GET", 405},
		{"POST", nil, "POST", 405},
		{"no headers", nil, "CONNECT", 401},
		{"no token", []string{HeaderSandbox, "box"}, "CONNECT", 401},
		{"no sandbox", []string{HeaderToken, goodToken}, "CONNECT", 401},
		{"two tokens", []string{HeaderSandbox, "box", HeaderToken, goodToken, HeaderToken, "guess"}, "CONNECT", 401},
		{"empty token", []string{HeaderSandbox, "box", HeaderToken, ""}, "CONNECT", 401},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if code := raw(t, g, tt.method, tt.header...); code != tt.want {
				t.Errorf("%s = %d, want %d", tt.method, code, tt.want)
			}
		})
	}
	t.Run("GET over HTTP/2", func(t *testing.T) {
		response, err := h2.Get("https://" + g.Address + Path)
		must(t, err)
		response.Body.Close()
		if response.StatusCode != 405 || response.Header.Get("Allow") != "CONNECT" || response.ProtoMajor != 2 {
			t.Errorf("answer = %v", response)
		}
	})
	t.Run("CONNECT over HTTP/2", func(t *testing.T) {
		request, err := http.NewRequest(http.MethodConnect, "https://"+g.Address, http.NoBody)
		must(t, err)
		request.Header.Set(HeaderSandbox, "box")
		request.Header.Set(HeaderToken, goodToken)
		response, err := h2.Do(request)
		must(t, err)
		response.Body.Close()
		if response.StatusCode != 505 {
			t.Errorf("answer = %v", response)
		}
	})
}

// raw sends a request over HTTP/1.1 and answers the status.
func raw(t *testing.T, g Gateway, method string, header ...string) int {
	t.Helper()
	config := g.TLS.Clone()
	config.NextProtos = []string{"http/1.1"}
	conn, err := tls.Dial("tcp", g.Address, config)
	must(t, err)
	defer conn.Close()
	must(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	text := method + " " + Path + " HTTP/1.1\r\nHost: gateway\r\n"
	for i := 0; i < len(header); i += 2 {
		text += header[i] + ": " + header[i+1] + "\r\n"
	}
	_, err = io.WriteString(conn, text+"\r\n")
	must(t, err)
	response, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	must(t, err)
	return response.StatusCode
}

func TestLimits(t *testing.T) {
	_, g := serve(t, fakeGateway{}, echo)
	for session := range PerSandbox/PerSession + 1 {
		token := fmt.Sprintf("%s-%d", goodToken, session)
		for i := range PerSession {
			if session*PerSession+i < PerSandbox {
				dialTunnel(t, g, token)
			}
		}
		if session == 0 {
			wantStatus(t, g, token, 429)
		}
	}
	wantStatus(t, g, goodToken+"-last", 429)
}

func TestPlaceOfAnEndedTunnelIsFreeAgain(t *testing.T) {
	h, g := serve(t, fakeGateway{}, echo)
	for range 3 * PerSession {
		conn := dialTunnel(t, g, goodToken)
		must(t, conn.(interface{ CloseWrite() error }).CloseWrite())
		_, err := io.ReadAll(conn)
		must(t, err)
		eventually(t, func() bool {
			h.open.mu.Lock()
			defer h.open.mu.Unlock()
			return len(h.open.entries) == 0
		})
	}
}

func TestRefusedTunnelsDoNotCount(t *testing.T) {
	_, g := serve(t, fakeGateway{dial: ErrNotReady}, echo)
	for range 2 * PerSandbox {
		wantStatus(t, g, goodToken, 412)
	}
}

func wantStatus(t *testing.T, g Gateway, token string, want int) {
	t.Helper()
	_, err := Dial(t.Context(), g, "box", token)
	var refused *Refused
	if !errors.As(err, &refused) || refused.Status != want {
		t.Errorf("Dial() error = %v, want HTTP %d", err, want)
	}
}

func TestTunnelsAreEnded(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(*Handler)
		ends bool
	}{
		{"by the token", func(h *Handler) { h.EndSession("name of " + goodToken) }, true},
		{"not by another token", func(h *Handler) { h.EndSession("name of " + otherToken) }, false},
		{"by the sandbox", func(h *Handler) { h.EndSandbox("box") }, true},
		{"not by another sandbox", func(h *Handler) { h.EndSandbox("another") }, false},
		{"by the end of the server", func(h *Handler) { h.Close() }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, g := serve(t, fakeGateway{}, echo)
			conn := dialTunnel(t, g, goodToken)
			_, err := io.WriteString(conn, "x")
			must(t, err)
			if _, err := conn.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			tt.end(h)
			if _, err := io.WriteString(conn, "y"); err != nil && !tt.ends {
				t.Fatal(err)
			}
			if !tt.ends {
				_, err = conn.Read(make([]byte, 1))
				must(t, err)
				return
			}
			// A byte that was under way may still come back.
			if _, err = io.ReadAll(conn); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("the tunnel hangs")
			}
		})
	}
}

func TestClosedHandlerAcceptsNothing(t *testing.T) {
	h, g := serve(t, fakeGateway{}, echo)
	h.Close()
	wantStatus(t, g, goodToken, 503)
}

func TestClientThatVanishesEndsTheConnectionToTheSandbox(t *testing.T) {
	ended := make(chan struct{})
	_, g := serve(t, fakeGateway{}, func(conn *net.TCPConn) {
		_, _ = io.Copy(io.Discard, conn)
		close(ended)
	})
	conn := dialTunnel(t, g, goodToken)
	// As when the process is killed: no farewell of TLS.
	must(t, conn.(readFirst).Conn.(*tls.Conn).NetConn().Close())
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the sandbox's side stays open")
	}
}

func TestDialEndsWithItsContext(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts and never answers
	must(t, err)
	defer silent.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Dial(ctx, Gateway{Address: silent.Addr().String()}, "box", goodToken); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Dial() error = %v", err)
	}
}

func TestDialRefusesWhatNoHeaderMayHave(t *testing.T) {
	for _, token := range []string{"", "a\r\nX-Other: 1", "a b", "ä", "a\x00"} {
		if _, err := Dial(t.Context(), Gateway{Address: "127.0.0.1:1"}, "box", token); err == nil || strings.Contains(err.Error(), "dial") {
			t.Errorf("Dial(%q) error = %v", token, err)
		}
	}
}

func TestAnswersOfOtherServers(t *testing.T) {
	for _, tt := range []struct{ answer, want string }{
		{"HTTP/1.1 502 Bad Gateway\r\n\r\n", "bad gateway (HTTP 502)"},
		{"HTTP/1.1 404 Not Found\r\nContent-Length: 12\r\n\r\n\x1b[31mred\nline", "[31mred (HTTP 404)"},
		{"SSH-2.0-OpenSSH\r\n", "tunnel answer: "},
		{"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("a", maxHeader), "tunnel answer: "},
		{"", "tunnel answer: "},
	} {
		server, client := net.Pipe()
		go func() {
			_, _ = bufio.NewReader(server).ReadString('\n')
			go io.Copy(io.Discard, server)
			_, _ = io.WriteString(server, tt.answer)
			server.Close()
		}()
		if _, err := open(client, "CONNECT / HTTP/1.1\r\n\r\n"); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("answer %.40q: error = %v, want %q", tt.answer, err, tt.want)
		}
		client.Close()
	}
}

// FuzzRequest sends requests as clients write them, whole and raw.
func FuzzRequest(f *testing.F) {
	for _, seed := range []string{
		"X-Sandbox-Id: box\r\nX-Sandbox-Token: good-token\r\n", "X-Sandbox-Id: box\r\n", "x-sandbox-token:\r\n",
		"X-Sandbox-Id: box\r\nX-Sandbox-Id: another\r\nX-Sandbox-Token: guess\r\n", "\r\n", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n",
	} {
		f.Add(seed)
	}
	var dialled int
	gateway := fakeGateway{dial: ErrNotReady}
	counting := countDials{gateway, &dialled}
	h := NewHandler(gateway, counting, slog.New(slog.DiscardHandler))
	f.Fuzz(func(t *testing.T, headers string) {
		dialled = 0
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("CONNECT " + Path + " HTTP/1.1\r\nHost: gateway\r\n" + headers + "\r\n")))
		if err != nil {
			return
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		good := r.Header.Get(HeaderSandbox) == "box" && strings.HasPrefix(r.Header.Get(HeaderToken), goodToken)
		if (dialled > 0) && !good || w.Code != 401 && w.Code != 412 {
			t.Errorf("dialled %d times and answered %d", dialled, w.Code)
		}
		if n := len(h.open.entries); n != 0 {
			t.Errorf("%d tunnels are left counted", n)
		}
	})
}

type countDials struct {
	fakeGateway
	n *int
}

func (c countDials) Dial(ctx context.Context, id string) (net.Conn, error) {
	*c.n++
	return c.fakeGateway.Dial(ctx, id)
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never came to be")
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
