package storage

import (
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

func options(name string) controller.ProvisionOptions {
	reclaim := corev1.PersistentVolumeReclaimDelete
	return controller.ProvisionOptions{
		PVName:       name,
		StorageClass: &storagev1.StorageClass{ReclaimPolicy: &reclaim},
		PVC: &corev1.PersistentVolumeClaim{Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
		}},
	}
}

func TestVolumeLivesAndDiesWithItsClaim(t *testing.T) {
	d := directories{t.TempDir()}
	volume, _, err := d.Provision(t.Context(), options("pvc-1"))
	if err != nil {
		t.Fatal(err)
	}
	path := volume.Spec.HostPath.Path
	if err := os.WriteFile(filepath.Join(path, "data"), []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	// The provisioner may be asked twice for one claim.
	if _, _, err := d.Provision(t.Context(), options("pvc-1")); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(filepath.Join(path, "data")); err != nil || string(data) != "kept" {
		t.Fatalf("after a second request: %q, %v", data, err)
	}
	// A directory that is gone must be an error of the pod.
	if *volume.Spec.HostPath.Type != corev1.HostPathDirectory {
		t.Errorf("type is %s", *volume.Spec.HostPath.Type)
	}
	if err := d.Delete(t.Context(), volume); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the directory is still there: %v", err)
	}
}

func TestNamesStayBelowTheRoot(t *testing.T) {
	d := directories{t.TempDir()}
	for _, name := range []string{"", ".", "..", "../x", "a/b", ".hidden"} {
		if _, _, err := d.Provision(t.Context(), options(name)); err == nil {
			t.Errorf("volume %q was provisioned", name)
		}
		if err := d.Delete(t.Context(), &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: name}}); err == nil {
			t.Errorf("volume %q was deleted", name)
		}
	}
}
