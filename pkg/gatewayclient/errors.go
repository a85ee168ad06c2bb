package gatewayclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/tunnel"
)

func (c *Client) unary(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	return c.asFault(ctx, method, invoke(ctx, method, req, reply, conn, opts...))
}

func (c *Client) stream(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	stream, err := open(ctx, desc, conn, method, opts...)
	if err != nil {
		return nil, c.asFault(ctx, method, err)
	}
	return faultStream{stream, ctx, c, method}, nil
}

type faultStream struct {
	grpc.ClientStream
	ctx    context.Context // of who opened it: the stream's own ends with it
	client *Client
	method string
}

func (s faultStream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	return s.client.asFault(s.ctx, s.method, err)
}

// kinds are the faults of gRPC's codes; those that are missing are the
// gateway's own trouble.
var kinds = map[codes.Code]struct {
	id   fault.ID
	exit fault.Exit
}{
	codes.InvalidArgument:    {fault.BadValue, fault.ExitUsage},
	codes.OutOfRange:         {fault.BadValue, fault.ExitUsage},
	codes.NotFound:           {fault.SandboxAbsent, fault.ExitFailure},
	codes.AlreadyExists:      {fault.SandboxExists, fault.ExitConflict},
	codes.FailedPrecondition: {fault.SandboxNotReady, fault.ExitNotRunning},
	codes.Aborted:            {fault.SandboxNotReady, fault.ExitNotRunning},
	codes.ResourceExhausted:  {fault.Busy, fault.ExitFailure},
	codes.Unauthenticated:    {fault.SessionRefused, fault.ExitFailure},
	codes.PermissionDenied:   {fault.SessionRefused, fault.ExitFailure},
}

// asFault gives an error of a call the form a user sees, with the gateway's own
// sentence where it has one.
func (c *Client) asFault(ctx context.Context, method string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	answer := status.Convert(err)
	switch answer.Code() {
	case codes.Unavailable, codes.DeadlineExceeded:
		return unreachable(c.gateway, fault.NotRunning, errors.New(answer.Message()))
	case codes.Unimplemented:
		return fault.New(fault.Unsupported, fault.ExitFailure, "gateway %s does not support this: %s", c.gateway.Name, answer.Message())
	}
	kind, known := kinds[answer.Code()]
	if !known {
		return fault.New(fault.GatewayError, fault.ExitFailure, "gateway %s answered with an error", c.gateway.Name).
			Hint("run the command again; `openshell gateway status %s` says how the gateway is", c.gateway.Name).
			Because(fmt.Errorf("%s: %s", path.Base(method), answer.Message()))
	}
	failure := fault.New(kind.id, kind.exit, "%s", answer.Message())
	if kind.id == fault.SandboxAbsent {
		failure.Hint("`openshell sandbox list` shows which there are")
	}
	return failure
}

// refused are the faults of a tunnel that the gateway does not open, by the
// status of its answer.
func refused(err *tunnel.Refused) error {
	id, exit := fault.SessionRefused, fault.ExitFailure
	switch err.Status {
	case http.StatusNotFound:
		id = fault.SandboxAbsent
	case http.StatusPreconditionFailed, http.StatusBadGateway:
		id, exit = fault.SandboxNotReady, fault.ExitNotRunning
	case http.StatusTooManyRequests:
		id = fault.Busy
	}
	return fault.New(id, exit, "the gateway opened no connection to the sandbox: %s", err.Message)
}
