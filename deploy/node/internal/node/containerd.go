package node

import (
	"fmt"
	"os"

	"openshell.ai/openshell/deploy/node/internal/images"
	"openshell.ai/openshell/deploy/node/internal/layout"
)

// containerdConfig returns the configuration of containerd 2 (config version
// 3). What is there for a reason:
//   - restrict_oom_score_adj: without CAP_SYS_RESOURCE runc cannot lower a score.
//   - NoNewKeyring: Docker's seccomp profile has no keyctl.
//   - the pause image is one of ours and is never fetched.
func containerdConfig(pause string) string {
	return fmt.Sprintf(`version = 3
root = %q
state = %q
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp", "io.containerd.nri.v1.nri"]

[debug]
  level = "warn"

[grpc]
  address = %q

[plugins.'io.containerd.cri.v1.images']
  snapshotter = "overlayfs"
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = %q

[plugins.'io.containerd.cri.v1.runtime']
  enable_selinux = false
  restrict_oom_score_adj = true
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = [%q]
    conf_dir = %q
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
      SystemdCgroup = false
      NoNewKeyring = true
`, layout.ContainerdRoot, layout.ContainerdState, layout.ContainerdSocket, pause, layout.CNIBinDir, layout.CNIConfDir)
}

func writeContainerdConfig() error {
	index, err := images.Load()
	if err != nil {
		return err
	}
	pause, err := index.Find(images.Pause)
	if err != nil {
		return err
	}
	if err := os.WriteFile(layout.ContainerdConfig, []byte(containerdConfig(pause.Ref)), 0o600); err != nil {
		return fmt.Errorf("containerd configuration: %w", err)
	}
	return nil
}
