package server

import (
	"context"
	"log/slog"
	"runtime/debug"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Time for a method that does not stream. The slack lets our answer reach a
// client before its own deadline takes its place.
const (
	callTimeout = 30 * time.Second
	slack       = 300 * time.Millisecond
)

// calls is around every method: it bounds their time, gives errors the form
// clients get, and turns a panic into an error of one call.
type calls struct{ log *slog.Logger }

func (c calls) unary(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (response any, err error) {
	log := c.log.With("method", info.FullMethod)
	defer func() {
		if p := recover(); p != nil {
			response, err = nil, panicked(log, p)
		}
	}()
	ctx, cancel := bounded(ctx, callTimeout)
	defer cancel()
	response, err = handle(ctx, request)
	return response, answer(err, log)
}

func (c calls) stream(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) (err error) {
	log := c.log.With("method", info.FullMethod)
	defer func() {
		if p := recover(); p != nil {
			err = panicked(log, p)
		}
	}()
	return answer(handle(server, stream), log)
}

func panicked(log *slog.Logger, p any) error {
	log.Error("panic", "value", p, "stack", string(debug.Stack()))
	return status.Error(codes.Internal, "the gateway could not do it; its log says why")
}

// bounded ends a little before the client's deadline, and after most at the latest.
func bounded(ctx context.Context, most time.Duration) (context.Context, context.CancelFunc) {
	if deadline, ok := ctx.Deadline(); ok {
		left := time.Until(deadline)
		most = min(most, left-min(slack, left/10))
	}
	return context.WithTimeout(ctx, most)
}
