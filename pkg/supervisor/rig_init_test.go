//go:build linux

package supervisor_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"openshell.ai/openshell/pkg/sandboxapi"
)

const initName = "sandbox-of-a-test"

// setup is what the first process of a test's container makes of it.
type setup struct {
	Dir, Binary string
	Environ     []string
	Passwd      string
	NoShell     bool
	SmallDisk   bool
}

// becomeSandbox makes a container around this process, like the pod's, with the
// places where the real ones are, and becomes the supervisor.
func becomeSandbox(arg string) error {
	runtime.LockOSThread() // capabilities are the thread's that becomes the supervisor
	var s setup
	if err := json.Unmarshal([]byte(arg), &s); err != nil {
		return err
	}
	root := filepath.Join(s.Dir, "root")
	steps := []func() error{
		func() error { return unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") },
		func() error { return unix.Mount("tmpfs", root, "tmpfs", unix.MS_NODEV, "mode=0755") },
		func() error { return system(root, s.NoShell) },
		func() error { return devices(root) },
		func() error {
			if s.Passwd == "" {
				return nil
			}
			if err := os.Mkdir(root+"/etc", 0o755); err != nil {
				return err
			}
			return os.WriteFile(root+"/etc/passwd", []byte(s.Passwd), 0o644)
		},
		func() error { return bind(filepath.Join(s.Dir, "workspace"), root+sandboxapi.Workspace, 0) },
		func() error { return bind(filepath.Join(s.Dir, "state"), root+sandboxapi.StateDir, 0) },
		func() error {
			if !s.SmallDisk {
				return nil
			}
			return unix.Mount("tmpfs", root+sandboxapi.StateDir, "tmpfs", 0, "mode=0755,size=65536")
		},
		func() error { return bind(filepath.Join(s.Dir, "secret"), root+sandboxapi.SecretDir, unix.MS_RDONLY) },
		func() error { return bind(filepath.Dir(s.Binary), root+sandboxapi.BinaryDir, unix.MS_RDONLY) },
		func() error { return unix.Chroot(root) },
		func() error { return os.Chdir("/") },
		podCapabilities,
		func() error { return syscall.Exec(sandboxapi.Binary, []string{sandboxapi.Binary}, s.Environ) },
	}
	for i, step := range steps {
		if err := step(); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
	}
	return nil
}

func bind(from, to string, flags uintptr) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind %s: %w", from, err)
	}
	if flags == 0 {
		return nil
	}
	return unix.Mount("", to, "", unix.MS_BIND|unix.MS_REMOUNT|flags, "")
}

// system borrows this machine's programs, with a setuid one beside them.
func system(root string, none bool) error {
	if err := os.Mkdir(root+"/tmp", 0o777); err != nil {
		return err
	}
	if err := os.Chmod(root+"/tmp", 0o777|os.ModeSticky); err != nil {
		return err
	}
	if none {
		return nil
	}
	if err := bind("/usr", root+"/usr", unix.MS_RDONLY); err != nil {
		return err
	}
	for _, dir := range []string{"/bin", "/sbin", "/lib", "/lib64"} {
		target, err := os.Readlink(dir)
		switch {
		case err == nil:
			err = os.Symlink(target, root+dir)
		case os.IsNotExist(err):
			err = nil
		default:
			err = bind(dir, root+dir, unix.MS_RDONLY)
		}
		if err != nil {
			return err
		}
	}
	id, err := os.ReadFile("/usr/bin/id")
	if err != nil {
		return err
	}
	if err := os.WriteFile(root+"/tmp/setuid-id", id, 0o755); err != nil {
		return err
	}
	return os.Chmod(root+"/tmp/setuid-id", 0o755|os.ModeSetuid)
}

func devices(root string) error {
	for _, dir := range []string{"/dev/pts", "/proc"} {
		if err := os.MkdirAll(root+dir, 0o755); err != nil {
			return err
		}
	}
	if err := unix.Mount("proc", root+"/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("proc: %w", err)
	}
	if err := unix.Mount("devpts", root+"/dev/pts", "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620"); err != nil {
		return fmt.Errorf("devpts: %w", err)
	}
	for link, target := range map[string]string{"ptmx": "pts/ptmx", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2", "fd": "/proc/self/fd"} {
		if err := os.Symlink(target, root+"/dev/"+link); err != nil {
			return err
		}
	}
	for _, device := range []string{"/dev/null", "/dev/zero", "/dev/urandom", "/dev/tty"} {
		if err := os.WriteFile(root+device, nil, 0o666); err != nil {
			return err
		}
		if err := unix.Mount(device, root+device, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("%s: %w", device, err)
		}
	}
	return nil
}

// podCapabilities leaves what the pod's container has. They survive exec, which
// root gets from the bounding set.
func podCapabilities() error {
	kept := map[uintptr]bool{unix.CAP_CHOWN: true, unix.CAP_SETUID: true, unix.CAP_SETGID: true, unix.CAP_KILL: true}
	for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
		if kept[c] {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil {
			return err
		}
	}
	return nil
}
