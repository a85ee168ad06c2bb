package server

import (
	"context"
	"net"
	"net/http"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/encoding/protojson"

	openshellrest "openshell.ai/openshell/pkg/api/rest/openshell/v1"
)

// restPrefix of the API as JSON over HTTP. Its routes are in proto/http.yaml.
const restPrefix = "/v1/"

// restAPI translates JSON into calls of the gRPC server, over a connection
// within this process, which streams as a real one does.
type restAPI struct {
	http.Handler

	server *grpc.Server
	inside *bufconn.Listener
}

func newREST(ctx context.Context, server *grpc.Server) (*restAPI, error) {
	const buffer = 256 << 10
	inside := bufconn.Listen(buffer)
	conn, err := grpc.NewClient("passthrough:///gateway",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return inside.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(16*maxMessage)), // it is our own
	)
	if err != nil {
		return nil, err
	}
	mux := runtime.NewServeMux(runtime.WithMarshalerOption(runtime.MIMEWildcard, &runtime.JSONPb{
		// Names as in the .proto files and in errors; zeroes are shown, so that a
		// script finds an exit code of 0.
		MarshalOptions: protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: true},
		// What is not known is refused, as package translate does it.
		UnmarshalOptions: protojson.UnmarshalOptions{},
	}))
	if err := openshellrest.RegisterOpenShellHandler(context.WithoutCancel(ctx), mux, conn); err != nil {
		return nil, err
	}
	limited := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, 2*maxMessage) // bytes are longer as JSON
		mux.ServeHTTP(w, r)
	})
	return &restAPI{limited, server, inside}, nil
}

// serve returns when the gRPC server is stopped.
func (r *restAPI) serve() error { return r.server.Serve(r.inside) }
