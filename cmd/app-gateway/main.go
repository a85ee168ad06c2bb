// Command app-gateway is the process behind nginx in a gateway's container, and
// the helper of the edge's scripts.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"openshell.ai/openshell/internal/edgecli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	err := edgecli.New().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "app-gateway:", err)
		os.Exit(1)
	}
}
