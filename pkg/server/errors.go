package server

import (
	"context"
	"errors"
	"log/slog"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"openshell.ai/openshell/pkg/sandbox"
	"openshell.ai/openshell/pkg/sandboxssh"
	"openshell.ai/openshell/pkg/server/session"
	"openshell.ai/openshell/pkg/server/translate"
)

// errNoSandboxes is the error of a server that was started without Kubernetes.
var errNoSandboxes = status.Error(codes.Unimplemented, "this gateway has no sandboxes: it runs without Kubernetes")

// answer gives an error of a method its code and a sentence for users. What is
// of no use to them goes to the log instead.
func answer(err error, log *slog.Logger) error {
	var invalid *translate.Invalid
	var refused *sandboxssh.Refused
	if err == nil {
		return nil
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	switch {
	case errors.As(err, &invalid):
		return badRequest(invalid)
	case errors.Is(err, sandbox.ErrResources):
		return badRequest(&translate.Invalid{Field: "spec.template.resources", Problem: err.Error()})
	case errors.Is(err, sandbox.ErrGone):
		return status.Error(codes.NotFound, "the sandbox does not exist")
	case errors.Is(err, sandbox.ErrNotReady):
		return status.Error(codes.FailedPrecondition, "the sandbox is not ready")
	case errors.As(err, &refused):
		return status.Errorf(codes.FailedPrecondition, "the sandbox refused: %s", refused.Message)
	case errors.Is(err, session.ErrTooMany):
		return status.Errorf(codes.ResourceExhausted, "%v; try again when some of them are closed", session.ErrTooMany)
	case errors.Is(err, context.Canceled):
		return status.Error(codes.Canceled, "the request was cancelled")
	case errors.Is(err, errNoController):
		return status.Errorf(codes.Unavailable, "%v; try again in a moment", errNoController)
	case unanswered(err), errors.Is(err, context.DeadlineExceeded):
		log.Warn("the Kubernetes API does not answer", "error", err)
		return status.Error(codes.Unavailable, "the gateway's Kubernetes API does not answer; try again in a moment")
	case apierrors.IsRequestEntityTooLargeError(err):
		return status.Error(codes.InvalidArgument, "the sandbox is too large to be stored: its command, labels, annotations and environment may take 1 MiB together")
	}
	log.Error("request failed", "error", err)
	return status.Error(codes.Internal, "the gateway could not do it; its log says why")
}

func badRequest(invalid *translate.Invalid) error {
	s := status.New(codes.InvalidArgument, invalid.Error())
	detailed, err := s.WithDetails(&errdetails.BadRequest{
		FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: invalid.Field, Description: invalid.Problem}},
	})
	if err != nil {
		return s.Err()
	}
	return detailed.Err()
}

func notFound(format string, args ...any) error {
	return status.Errorf(codes.NotFound, format, args...)
}

// aborted is trouble with one sandbox that may be over in a moment. It is not
// that of a gateway that cannot be reached, which UNAVAILABLE tells.
func aborted(format string, args ...any) error {
	return status.Errorf(codes.Aborted, format, args...)
}

func notNow(format string, args ...any) error {
	return status.Errorf(codes.FailedPrecondition, format, args...)
}
