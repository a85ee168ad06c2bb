// Package dockerproxy stands between a client and the socket of a Docker
// Engine. It tells every call by name to a hook, which lets it pass, delays it,
// refuses it, or loses its answer.
package dockerproxy

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/client/pkg/versions"
)

// Options say what a Proxy does. Engine and Socket are required.
type Options struct {
	Engine string // path of the engine's socket
	Socket string // path to listen on: one that fits an address, 107 bytes on Linux

	// Hook decides about each call before it is made; nil lets all pass. It is
	// called from many goroutines at once.
	Hook func(Call) Verdict
	// Latency passes before every call is made.
	Latency time.Duration
	// APIVersion is announced in place of the engine's own. Calls of a version
	// that the engine does not know are made in its newest.
	APIVersion string
	// Rename is applied to the names of calls, for what differs between two
	// runs; nil: nothing does.
	Rename func(string) string
}

// Call is one request.
type Call struct {
	// Name is the same in every run: "POST /containers/NAME/start", without the
	// API's version, with names for ids and, where a command is run in a
	// container, with that: "POST /exec/start NAME: sh -c true".
	Name string
	// Effect is true of everything but GET and HEAD.
	Effect bool
}

// Outcome is what becomes of a call.
type Outcome int

// The outcomes.
const (
	Pass Outcome = iota
	Fail         // it is not made, and answered as if the engine had failed
	Lose         // it is made, and the connection closed once the engine's answer has ended; a command in a container has no input then
)

// Verdict is a hook's decision.
type Verdict struct {
	Delay   time.Duration // before anything else
	Outcome Outcome
	Then    func() // called after Fail's answer is ready, and after the engine's to Lose came
}

// Message is what a call is answered that failed.
const Message = "dockerproxy: this call was made to fail"

// Proxy is a running proxy.
type Proxy struct {
	opts      Options
	transport *http.Transport
	server    *http.Server
	newest    string // API version of the engine; with Options.APIVersion

	mu    sync.Mutex
	names map[string]string   // container id -> name
	execs map[string]execed   // exec id -> what it runs
	open  map[net.Conn]func() // hijacked connections
	ended sync.WaitGroup
}

type execed struct {
	container string
	argv      []string
}

// Start listens and serves until Close.
func Start(o Options) (*Proxy, error) {
	p := &Proxy{opts: o, names: map[string]string{}, execs: map[string]execed{}, open: map[net.Conn]func(){}}
	p.transport = &http.Transport{
		DialContext:        func(ctx context.Context, _, _ string) (net.Conn, error) { return p.dial(ctx) },
		DisableCompression: true,
	}
	if o.APIVersion != "" {
		var err error
		if p.newest, err = p.ping(); err != nil {
			return nil, err
		}
	}
	l, err := net.Listen("unix", o.Socket)
	if err != nil {
		return nil, err
	}
	p.server = &http.Server{Handler: http.HandlerFunc(p.serve), ReadHeaderTimeout: time.Minute}
	p.ended.Go(func() { _ = p.server.Serve(l) }) // it ends by Close alone
	return p, nil
}

// Host is the proxy as DOCKER_HOST takes it.
func (p *Proxy) Host() string { return "unix://" + p.opts.Socket }

// Close ends every connection and removes the socket.
func (p *Proxy) Close() error {
	err := p.server.Close()
	p.mu.Lock()
	for _, end := range p.open {
		end()
	}
	p.mu.Unlock()
	p.transport.CloseIdleConnections()
	p.ended.Wait()
	if rmErr := os.Remove(p.opts.Socket); !errors.Is(rmErr, os.ErrNotExist) {
		err = errors.Join(err, rmErr)
	}
	return err
}

func (p *Proxy) dial(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "unix", p.opts.Engine)
}

// ping asks the engine for its API version.
func (p *Proxy) ping() (string, error) {
	res, err := p.get("/_ping")
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	return res.Header.Get(versionHeader), nil
}

// get asks the engine on the proxy's own account.
func (p *Proxy) get(path string) (*http.Response, error) {
	req, err := http.NewRequest(http.MethodGet, "http://engine"+path, nil)
	if err != nil {
		return nil, err
	}
	return p.transport.RoundTrip(req)
}

const versionHeader = "Api-Version"

func (p *Proxy) serve(w http.ResponseWriter, r *http.Request) {
	c, body, err := p.identify(r)
	if err != nil {
		refuse(w, http.StatusBadGateway, "dockerproxy: "+err.Error())
		return
	}
	verdict := Verdict{}
	if p.opts.Hook != nil {
		verdict = p.opts.Hook(c.Call)
	}
	if !pause(r.Context(), p.opts.Latency+verdict.Delay) {
		return
	}
	if verdict.Outcome == Fail {
		// The rest of what was sent would make the client miss the answer.
		_, _ = io.Copy(io.Discard, r.Body)
		if verdict.Then != nil {
			verdict.Then()
		}
		refuse(w, http.StatusInternalServerError, Message)
		return
	}
	out := r.Clone(r.Context())
	out.RequestURI = ""
	out.URL.Scheme, out.URL.Host = "http", "engine"
	out.URL.Path, out.URL.RawPath = p.path(r.URL.Path), ""
	if body != nil {
		out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	if r.Header.Get("Upgrade") != "" {
		p.tunnel(w, out, verdict)
		return
	}
	p.forward(w, out, c, verdict)
}

// pause returns false when the client is gone before d has passed.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

func refuse(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"message": message})
}

// path is a path as the engine is asked for it.
func (p *Proxy) path(path string) string {
	version, rest := splitVersion(path)
	if p.newest != "" && version != "" && versions.GreaterThan(version, p.newest) {
		return "/v" + p.newest + rest
	}
	return path
}

// announce changes what an answer says of the engine's API.
func (p *Proxy) announce(h http.Header) {
	if p.opts.APIVersion != "" && h.Get(versionHeader) != "" {
		h.Set(versionHeader, p.opts.APIVersion)
	}
}

// forward makes a call whose answer ends.
func (p *Proxy) forward(w http.ResponseWriter, out *http.Request, c *call, verdict Verdict) {
	if verdict.Outcome == Lose {
		// Lost is the answer alone: the call itself must not end early.
		out = out.WithContext(context.WithoutCancel(out.Context()))
	}
	res, err := p.transport.RoundTrip(out)
	if err != nil {
		if out.Context().Err() == nil {
			refuse(w, http.StatusBadGateway, "dockerproxy: "+err.Error())
		}
		return
	}
	defer res.Body.Close()
	var answer io.Reader = res.Body
	if c.learn != nil && res.StatusCode < 300 {
		text, err := io.ReadAll(res.Body)
		if err != nil {
			hangUp(w)
			return
		}
		c.learn(text)
		answer = bytes.NewReader(text)
	}
	if verdict.Outcome == Lose {
		_, _ = io.Copy(io.Discard, answer)
		if verdict.Then != nil {
			verdict.Then()
		}
		hangUp(w)
		return
	}
	for key, values := range res.Header {
		w.Header()[key] = values
	}
	p.announce(w.Header())
	w.WriteHeader(res.StatusCode)
	flush := http.NewResponseController(w)
	_ = flush.Flush() // the client may wait for the head before it does anything else
	if _, err := io.Copy(flushing{w, flush}, answer); err != nil {
		hangUp(w)
	}
}

type flushing struct {
	io.Writer
	flush *http.ResponseController
}

func (f flushing) Write(b []byte) (int, error) {
	n, err := f.Writer.Write(b)
	return n, errors.Join(err, f.flush.Flush())
}

// hangUp closes the client's connection without an answer, or in the middle of
// one.
func hangUp(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	conn.Close()
}

// tunnel makes a call after whose answer both sides speak as they like.
func (p *Proxy) tunnel(w http.ResponseWriter, out *http.Request, verdict Verdict) {
	engine, err := p.dial(out.Context())
	if err == nil {
		err = out.Write(engine)
	}
	if err != nil {
		refuse(w, http.StatusBadGateway, "dockerproxy: "+err.Error())
		return
	}
	defer engine.Close()
	client, input, err := http.NewResponseController(w).Hijack()
	if err != nil {
		refuse(w, http.StatusBadGateway, "dockerproxy: "+err.Error())
		return
	}
	defer client.Close()
	defer p.track(client, engine)()

	output := bufio.NewReader(engine)
	res, err := http.ReadResponse(output, out)
	if err != nil {
		return
	}
	defer res.Body.Close()
	if verdict.Outcome == Lose {
		// The client says nothing before it was answered.
		closeWrite(engine)
		_, _ = io.Copy(io.Discard, output)
		if verdict.Then != nil {
			verdict.Then()
		}
		return
	}
	p.announce(res.Header)
	if res.StatusCode != http.StatusSwitchingProtocols {
		_ = res.Write(client)
		return
	}
	if err := writeHead(client, res); err != nil {
		return
	}
	p.ended.Go(func() {
		_, _ = io.Copy(engine, input)
		closeWrite(engine)
	})
	// When the engine is done, so is the client: nobody reads what it says.
	_, _ = io.Copy(client, output)
}

// track makes Close end a tunnel; the function returned forgets it.
func (p *Proxy) track(client, engine net.Conn) func() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open[client] = func() { client.Close(); engine.Close() }
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.open, client)
	}
}

func writeHead(w io.Writer, res *http.Response) error {
	var head bytes.Buffer
	fmt.Fprintf(&head, "HTTP/1.1 %s\r\n", res.Status)
	_ = res.Header.Write(&head) // to memory
	head.WriteString("\r\n")
	_, err := w.Write(head.Bytes())
	return err
}

func closeWrite(c net.Conn) {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // it may be closed altogether
	}
}

// splitVersion takes "/v1.41" off a path.
func splitVersion(path string) (version, rest string) {
	first, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if v, ok := strings.CutPrefix(first, "v"); ok && v != "" && strings.Trim(v, "0123456789.") == "" {
		return v, "/" + rest
	}
	return "", path
}
