package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"openshell.ai/openshell/deploy/node/internal/layout"
	"openshell.ai/openshell/deploy/node/internal/volume"
)

// provisionedBy is the annotation of a volume that names its provisioner.
const provisionedBy = "pv.kubernetes.io/provisioned-by"

// restoredMark is there from the restore of a snapshot until what follows from
// it was done.
var restoredMark = filepath.Join(layout.EtcdDir, volume.Restored)

// afterRestore makes the directories of volumes that were deleted after the
// snapshot was taken from which their records have come back: those sandboxes
// begin empty. At any other time a directory that is gone is an error.
func (d directories) afterRestore(ctx context.Context, client kubernetes.Interface, mark string) error {
	if _, err := os.Stat(mark); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	volumes, err := client.CoreV1().PersistentVolumes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("volumes of a snapshot: %w", err)
	}
	for _, v := range volumes.Items {
		if v.Annotations[provisionedBy] != Provisioner {
			continue
		}
		path, err := d.path(v.Name)
		if err != nil {
			return err
		}
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := makeDirectory(path); err != nil {
			return err
		}
		slog.Warn("a volume was deleted after the snapshot that came back; it begins empty", "volume", v.Name)
	}
	return os.Remove(mark)
}
