// Package storage provisions persistent volumes as directories on the
// gateway's volume. A claim is bound at once: waiting for the first consumer
// would cost every new sandbox a second of the scheduler's polling.
package storage

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"

	"openshell.ai/openshell/deploy/node/internal/layout"
)

// Provisioner is the name the storage class gives; see deploy/kube/manifests.
const Provisioner = "openshell.ai/volume"

// Run provisions until ctx ends.
func Run(ctx context.Context, config *rest.Config) error {
	if err := os.MkdirAll(layout.WorkspaceDir, 0o711); err != nil {
		return fmt.Errorf("workspaces: %w", err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	dirs := directories{layout.WorkspaceDir}
	if err := dirs.afterRestore(ctx, client, restoredMark); err != nil && ctx.Err() == nil {
		slog.Error("sandboxes that were deleted after the snapshot cannot come back", "error", err)
	}
	controller.NewProvisionController(ctx, client, Provisioner, dirs, controller.LeaderElection(false)).Run(ctx)
	return ctx.Err()
}

// directories makes one directory for a volume.
type directories struct{ root string }

func (d directories) path(volume string) (string, error) {
	if volume == "" || volume != filepath.Base(volume) || strings.HasPrefix(volume, ".") {
		return "", fmt.Errorf("volume name %q cannot be a directory name", volume)
	}
	return filepath.Join(d.root, volume), nil
}

// makeDirectory makes one that is open to every user, because the pod decides
// who it runs as; only that pod gets it mounted.
func makeDirectory(path string) error {
	if err := os.MkdirAll(path, 0o777); err != nil {
		return fmt.Errorf("volume directory: %w", err)
	}
	if err := os.Chmod(path, 0o777); err != nil { // whatever the umask took
		return fmt.Errorf("volume directory: %w", err)
	}
	return nil
}

// Provision makes the directory.
func (d directories) Provision(_ context.Context, opts controller.ProvisionOptions) (*corev1.PersistentVolume, controller.ProvisioningState, error) {
	path, err := d.path(opts.PVName)
	if err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	if err := makeDirectory(path); err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	// A directory that is gone is an error of the pod, never an empty volume.
	mustExist := corev1.HostPathDirectory
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: opts.PVName},
		Spec: corev1.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: *opts.StorageClass.ReclaimPolicy,
			AccessModes:                   opts.PVC.Spec.AccessModes,
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: opts.PVC.Spec.Resources.Requests[corev1.ResourceStorage]},
			PersistentVolumeSource: corev1.PersistentVolumeSource{
				HostPath: &corev1.HostPathVolumeSource{Path: path, Type: &mustExist},
			},
		},
	}, controller.ProvisioningFinished, nil
}

// Delete removes the directory of a volume whose claim was deleted.
func (d directories) Delete(_ context.Context, volume *corev1.PersistentVolume) error {
	path, err := d.path(volume.Name)
	if err != nil {
		return err
	}
	return os.RemoveAll(path)
}
