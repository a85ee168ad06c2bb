package images

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"openshell.ai/openshell/deploy/node/internal/layout"
)

const (
	runtimeWithin = 10 * time.Second
	askRuntime    = 5 * time.Millisecond
)

// awaitRuntime returns when the kubelet would find the image: its interface to
// containerd hears of new images by events.
func awaitRuntime(ctx context.Context, ref string) error {
	ctx, cancel := context.WithTimeout(ctx, runtimeWithin)
	defer cancel()
	conn, err := grpc.NewClient("unix://"+layout.ContainerdSocket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	service := runtimeapi.NewImageServiceClient(conn)
	for {
		status, err := service.ImageStatus(ctx, &runtimeapi.ImageStatusRequest{Image: &runtimeapi.ImageSpec{Image: ref}})
		if err != nil {
			return fmt.Errorf("image status: %w", err)
		}
		if status.Image != nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("image %s is not seen by the runtime: %w", ref, context.Cause(ctx))
		case <-time.After(askRuntime):
		}
	}
}
