// Package deps keeps module requirements during the first build-out.
package deps

import (
	_ "github.com/charmbracelet/lipgloss"
	_ "github.com/distribution/reference"
	_ "github.com/docker/go-units"
	_ "github.com/gofrs/flock"
	_ "github.com/google/go-cmp/cmp"
	_ "github.com/moby/moby/api/pkg/stdcopy"
	_ "github.com/moby/moby/client"
	_ "github.com/rogpeppe/go-internal/testscript"
	_ "github.com/spf13/cobra"
	_ "golang.org/x/sync/errgroup"
	_ "golang.org/x/sys/unix"
	_ "golang.org/x/term"
	_ "google.golang.org/grpc"
	_ "google.golang.org/protobuf/proto"
	_ "k8s.io/client-go/kubernetes"
	_ "k8s.io/client-go/kubernetes/fake"
	_ "k8s.io/client-go/tools/clientcmd"
	_ "pgregory.net/rapid"
	_ "sigs.k8s.io/yaml"
)
