package storage

import (
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

func record(name, provisioner string) *corev1.PersistentVolume {
	return &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{
		Name: name, Annotations: map[string]string{"pv.kubernetes.io/provisioned-by": provisioner},
	}}
}

// What the snapshot knows and the disk does not begins empty, once; what the
// disk has and the snapshot does not know is left alone.
func TestVolumesAfterARestore(t *testing.T) {
	client := fake.NewClientset(record("pvc-kept", Provisioner), record("pvc-deleted", Provisioner), record("pvc-other", "other"))
	d := directories{t.TempDir()}
	mark := filepath.Join(t.TempDir(), "restored")
	for _, name := range []string{"pvc-kept", "pvc-unknown"} {
		if err := makeDirectory(filepath.Join(d.root, name)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(d.root, name, "file"), []byte("work"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	check := func(deleted bool) {
		t.Helper()
		if err := d.afterRestore(t.Context(), client, mark); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"pvc-kept", "pvc-unknown"} {
			if data, err := os.ReadFile(filepath.Join(d.root, name, "file")); err != nil || string(data) != "work" {
				t.Errorf("%s: %q, %v", name, data, err)
			}
		}
		info, err := os.Stat(filepath.Join(d.root, "pvc-deleted"))
		if deleted != (err == nil) || err == nil && info.Mode().Perm() != 0o777 {
			t.Errorf("directory of the volume that was deleted: %v, %v", info, err)
		}
		if _, err := os.Stat(filepath.Join(d.root, "pvc-other")); err == nil {
			t.Error("a volume of somebody else got a directory")
		}
	}
	check(false) // without a restore a directory that is gone stays an error
	if err := os.WriteFile(mark, []byte("snapshot-20261121T211500Z\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	check(true)
	if _, err := os.Stat(mark); !os.IsNotExist(err) {
		t.Errorf("the mark is still there: %v", err)
	}
}
