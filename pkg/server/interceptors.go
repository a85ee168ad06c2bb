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
	ctx, cancel := bounded(ctx, callTimeout)
	defer cancel()
	err = safely(log, func() error {
		response, err = handle(ctx, request)
		return err
	})
	return response, answer(err, log)
}

func (c calls) stream(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	log := c.log.With("method", info.FullMethod)
	return answer(safely(log, func() error { return handle(server, stream) }), log)
}

// safely turns a panic into an error, and its place into a line of the log.
func safely(log *slog.Logger, do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			log.Error("panic", "value", p, "stack", string(debug.Stack()))
			err = status.Error(codes.Internal, "the gateway could not do it; its log says why")
		}
	}()
	return do()
}

// bounded ends a little before the client's deadline, and after most at the latest.
func bounded(ctx context.Context, most time.Duration) (context.Context, context.CancelFunc) {
	if deadline, ok := ctx.Deadline(); ok {
		left := time.Until(deadline)
		most = min(most, left-min(slack, left/10))
	}
	return context.WithTimeout(ctx, most)
}
