// Faulty is openshell with a test at its elbow: before each effect that it has by
// other ways than the Docker Engine it asks what shall become of it. The test
// listens on the unix socket that OPENSHELL_ELBOW names. It gets a line with the
// effect's name, and answers with one word:
//
//	pass  it happens
//	fail  it does not, and fails
//	lose  it happens, and its answer is lost
//	kill  it happens, and openshell is killed
//	cut   openshell is killed before it happens
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"openshell.ai/openshell/internal/cli"
	"openshell.ai/openshell/pkg/bootstrap"
	"openshell.ai/openshell/pkg/hostconfig"
)

// elbow is the socket where the test listens.
type elbow string

func main() {
	e := elbow(os.Getenv("OPENSHELL_ELBOW"))
	os.Exit(cli.Wiring{
		Store: func(s *hostconfig.Store) { s.Commit = e.file(s.Root()) },
		Engine: func(d bootstrap.Deps) bootstrap.Deps {
			d.Cluster = bootstrap.EngineConnector{Engine: d.Engine, Wrap: e.cluster}
			return d
		},
		Dial: []grpc.DialOption{grpc.WithChainUnaryInterceptor(e.call)},
	}.Main())
}

// errMade is a failure that was asked for.
var errMade = errors.New("faulty: this was made to fail")

// ask returns the test's word. A test that cannot be asked is gone: nothing may
// pass for one that was.
func (e elbow) ask(effect string) string {
	conn, err := net.Dial("unix", string(e))
	if err == nil {
		defer conn.Close()
		_, err = fmt.Fprintln(conn, effect)
	}
	var word string
	if err == nil {
		word, err = bufio.NewReader(conn).ReadString('\n')
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "faulty: the test does not answer:", err)
		os.Exit(99)
	}
	return strings.TrimSpace(word)
}

// around makes an effect, or not. lost is called with its result when that is
// to be lost; its error is what came instead.
func (e elbow) around(effect string, do func() error, fail, lost func() error) error {
	switch word := e.ask(effect); word {
	case "pass":
		return do()
	case "fail":
		return fail()
	case "lose":
		_ = do() // nobody is told how it went
		return lost()
	case "kill":
		_ = do()
	case "cut":
	default:
		panic("faulty: unknown word " + word)
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// file is about changes to host files under root.
func (e elbow) file(root string) func(string, func() error) error {
	failed := func() error { return errMade }
	return func(file string, change func() error) error {
		name, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		return e.around("host "+name, change, failed, failed)
	}
}

// cluster is about writes to the Kubernetes API.
func (e elbow) cluster(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			return next.RoundTrip(r)
		}
		var res *http.Response
		do := func() error {
			answer, err := next.RoundTrip(r)
			if err != nil {
				return err
			}
			defer answer.Body.Close()
			body, err := io.ReadAll(answer.Body)
			kept := *answer
			kept.Body = io.NopCloser(bytes.NewReader(body))
			res = &kept
			return err
		}
		fail := func() error {
			const answer = `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"InternalError","code":500,"message":"faulty: this was made to fail"}`
			res = &http.Response{
				Status: "500 Internal Server Error", StatusCode: http.StatusInternalServerError, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
				Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(answer)), Request: r,
			}
			return nil
		}
		lost := func() error { return io.ErrUnexpectedEOF }
		err := e.around("kubernetes "+r.Method+" "+r.URL.Path, do, fail, lost)
		if err != nil {
			return nil, err
		}
		return res, nil
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// call is about calls of the gateway API.
func (e elbow) call(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	do := func() error { return invoke(ctx, method, req, reply, conn, opts...) }
	name := path.Base(method)
	for _, asks := range []string{"Get", "List", "Health"} {
		if strings.HasPrefix(name, asks) {
			return do()
		}
	}
	return e.around("gateway "+name, do,
		func() error { return status.Error(codes.Internal, errMade.Error()) },
		func() error { return status.Error(codes.Unavailable, "error reading from server: EOF") })
}
