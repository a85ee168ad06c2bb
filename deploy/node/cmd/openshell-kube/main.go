// Command openshell-kube is upstream Kubernetes, unmodified, in one binary:
// "control-plane", "node" and "snapshot" are run by openshell-node, "image" by
// the CLI, and under the name kubectl it is kubectl.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"k8s.io/component-base/cli"
	"k8s.io/klog/v2"
	kubectl "k8s.io/kubectl/pkg/cmd"

	"openshell.ai/openshell/deploy/node/internal/controlplane"
	"openshell.ai/openshell/deploy/node/internal/kubenode"
	"openshell.ai/openshell/deploy/node/internal/layout"
	"openshell.ai/openshell/deploy/node/internal/report"
	"openshell.ai/openshell/pkg/nodeapi"
)

func main() {
	if filepath.Base(os.Args[0]) == "kubectl" {
		os.Exit(cli.Run(kubectl.NewDefaultKubectlCommand()))
	}
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(exitCode(err))
	}
}

func run(args []string) error {
	roles := map[string]func(context.Context, layout.Node, *report.Reporter) error{
		"control-plane": controlplane.Run,
		"node":          kubenode.Run,
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if len(args) > 0 && args[0] == nodeapi.CmdImage {
		return image(ctx, args[1:])
	}
	if len(args) > 0 && args[0] == nodeapi.CmdSnapshot {
		return snapshotCommand(args[1:])
	}
	if len(args) != 1 || roles[args[0]] == nil {
		return fmt.Errorf("usage: openshell-kube control-plane|node|image|snapshot ...")
	}
	node, err := layout.Load()
	if err != nil {
		return err
	}
	if err := logWarnings(); err != nil {
		return err
	}
	go collectMoreLater()
	return roles[args[0]](ctx, node, report.New())
}

// booting is how long memory is traded for speed.
const booting = time.Minute

// collectMoreLater ends the time in which the garbage collector runs seldom,
// as openshell-node has set it for the boot, and returns what that has cost.
func collectMoreLater() {
	time.Sleep(booting)
	debug.SetGCPercent(100)
	debug.FreeOSMemory()
}

// logWarnings leaves out what is merely informative: the components say more
// than a thousand such things at a first boot, around the line that matters.
func logWarnings() error {
	flags := flag.NewFlagSet("klog", flag.ContinueOnError)
	klog.InitFlags(flags)
	klog.SetOutput(io.Discard) // where what is not for stderr goes
	return flags.Parse([]string{"-logtostderr=false", "-stderrthreshold=WARNING"})
}
