package kubenode

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"openshell.ai/openshell/deploy/node/internal/layout"
)

// grace is how long a container's processes may take to end.
const grace = 10 * time.Second

// stopContainers ends every running container by SIGTERM, all at once, and by
// SIGKILL after the grace period. It uses the runtime's own interface: the
// kubelet has no way to stop pods and keep them. Its loops live as long as this
// process and may start a container again that they saw end, so that one look
// is not enough.
func stopContainers() {
	ctx, cancel := context.WithTimeout(context.Background(), grace+5*time.Second)
	defer cancel()
	conn, err := grpc.NewClient("unix://"+layout.ContainerdSocket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		slog.Error("containers cannot be stopped", "error", err)
		return
	}
	defer conn.Close()
	runtime := runtimeapi.NewRuntimeServiceClient(conn)
	for {
		running, err := runtime.ListContainers(ctx, &runtimeapi.ListContainersRequest{Filter: &runtimeapi.ContainerFilter{
			State: &runtimeapi.ContainerStateValue{State: runtimeapi.ContainerState_CONTAINER_RUNNING},
		}})
		if err != nil {
			slog.Error("containers cannot be listed", "error", err)
			return
		}
		if len(running.Containers) == 0 {
			return
		}
		stopAll(ctx, runtime, running.Containers)
	}
}

func stopAll(ctx context.Context, runtime runtimeapi.RuntimeServiceClient, containers []*runtimeapi.Container) {
	var stopping sync.WaitGroup
	for _, c := range containers {
		stopping.Go(func() {
			_, err := runtime.StopContainer(ctx, &runtimeapi.StopContainerRequest{ContainerId: c.Id, Timeout: int64(grace.Seconds())})
			if err != nil {
				slog.Warn("container was not stopped", "container", c.Metadata.GetName(), "error", err)
			}
		})
	}
	stopping.Wait()
}
