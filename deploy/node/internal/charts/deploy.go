package charts

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"

	"openshell.ai/openshell/deploy/node/internal/images"
	"openshell.ai/openshell/deploy/node/internal/layout"
	"openshell.ai/openshell/pkg/nodeapi"
)

const (
	fieldManager = "openshell-node"
	inventory    = "openshell-deployed" // ConfigMap in the system namespace
	retryEvery   = time.Second
	lookOften    = 50 * time.Millisecond // for Secrets, while the CLI is making them
	lookSeldom   = time.Second           // when it seems to be gone
	// healAfter is when objects of an unchanged chart are applied again, so
	// that what somebody deleted comes back, out of the way of a resume.
	healAfter = 20 * time.Second
	healEvery = 10 * time.Minute
)

// neededSecrets must exist before the workload that reads them.
var neededSecrets = []string{"openshell-server-tls", "openshell-server-client-ca", "openshell-client-tls", "openshell-ssh-handshake"}

// Importer makes an image available, and those it replaced unavailable.
type Importer interface {
	Ensure(context.Context, images.Image) error
	Prune(ctx context.Context, current images.Image, used []string) error
}

// Reporter reports milestones.
type Reporter interface {
	Milestone(nodeapi.Milestone)
}

// Deployer keeps the cluster like the charts and manifests.
type Deployer struct {
	client   kubernetes.Interface
	dynamic  dynamic.Interface
	mapper   *restmapper.DeferredDiscoveryRESTMapper
	importer Importer
	reporter Reporter
}

// New returns a deployer that speaks to the API of config.
func New(config *rest.Config, importer Importer, reporter Reporter) (*Deployer, error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	dyn, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(client.Discovery()))
	return &Deployer{client: client, dynamic: dyn, mapper: mapper, importer: importer, reporter: reporter}, nil
}

// Run deploys at once and again whenever a chart, a manifest or an image
// changes on the volume.
func (d *Deployer) Run(ctx context.Context) error {
	changes, err := watch(ctx)
	if err != nil {
		return err
	}
	heal := time.NewTimer(healAfter)
	defer heal.Stop()
	for unchangedToo := false; ; {
		var retry <-chan time.Time
		if err := d.deploy(ctx, unchangedToo); err != nil {
			slog.Warn("charts are not deployed yet", "error", err)
			retry = time.After(retryEvery)
		} else {
			unchangedToo = false
		}
		select {
		case <-ctx.Done():
			return nil
		case <-retry:
		case <-changes:
		case <-heal.C:
			unchangedToo = true
			heal.Reset(healEvery)
		}
	}
}

// record is what the last deploy left in the cluster.
type record struct {
	Fingerprint string   `json:"fingerprint"`
	Objects     []object `json:"objects"`
}

type object struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace,omitempty"`
	Name       string `json:"name"`
}

func (d *Deployer) deploy(ctx context.Context, unchangedToo bool) error {
	objects, err := d.wanted(ctx)
	if err != nil {
		return err
	}
	sum, err := fingerprint(objects)
	if err != nil {
		return err
	}
	old, err := d.readRecord(ctx)
	if err != nil {
		return err
	}
	if old.Fingerprint == sum && !unchangedToo {
		d.reporter.Milestone(nodeapi.Secrets)
		d.reporter.Milestone(nodeapi.Chart)
		return nil
	}
	if err := d.waitSecrets(ctx); err != nil {
		return err
	}
	d.reporter.Milestone(nodeapi.Secrets)
	applied := record{Fingerprint: sum}
	for _, o := range objects {
		if err := d.apply(ctx, o); err != nil {
			return fmt.Errorf("%s %s: %w", o.GetKind(), o.GetName(), err)
		}
		applied.Objects = append(applied.Objects, object{o.GetAPIVersion(), o.GetKind(), o.GetNamespace(), o.GetName()})
	}
	for _, gone := range old.Objects {
		if !slices.Contains(applied.Objects, gone) {
			if err := d.remove(ctx, gone); err != nil {
				return fmt.Errorf("%s %s: %w", gone.Kind, gone.Name, err)
			}
		}
	}
	if old.Fingerprint != sum {
		if err := d.writeRecord(ctx, applied); err != nil {
			return err
		}
		slog.Info("charts deployed", "objects", len(objects))
	}
	d.reporter.Milestone(nodeapi.Chart)
	if err := d.prune(ctx); err != nil {
		slog.Warn("former images are kept", "error", err)
	}
	return nil
}

// prune lets go of the server images of former deploys. The pods of the last
// one are just ending, so its image is in use until some other time.
func (d *Deployer) prune(ctx context.Context) error {
	index, err := images.Load()
	if err != nil {
		return err
	}
	server, err := index.Find(images.Server)
	if err != nil {
		return err
	}
	used, err := d.usedImages(ctx)
	if err != nil {
		return err
	}
	return d.importer.Prune(ctx, server, used)
}

// usedImages are the images that any pod names.
func (d *Deployer) usedImages(ctx context.Context) ([]string, error) {
	pods, err := d.client.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return nil, fmt.Errorf("pods: %w", err)
	}
	var used []string
	for _, pod := range pods.Items {
		for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
			used = append(used, c.Image)
		}
	}
	return used, nil
}

// wanted reads every input, makes the images available and renders.
func (d *Deployer) wanted(ctx context.Context) ([]unstructured.Unstructured, error) {
	manifests, err := readManifests()
	if err != nil {
		return nil, err
	}
	index, err := images.Load()
	if err != nil {
		return nil, err
	}
	server, err := index.Find(images.Server)
	if err != nil {
		return nil, err
	}
	if err := d.importer.Ensure(ctx, server); err != nil {
		return nil, err
	}
	var objects []unstructured.Unstructured
	for _, manifest := range manifests {
		if manifest.GetKind() != "HelmChart" {
			objects = append(objects, manifest)
			continue
		}
		var chart HelmChart
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(manifest.Object, &chart); err != nil {
			return nil, fmt.Errorf("HelmChart %s: %w", manifest.GetName(), err)
		}
		rendered, err := render(chart, index)
		if err != nil {
			return nil, fmt.Errorf("chart %s: %w", chart.Metadata.Name, err)
		}
		objects = append(objects, rendered...)
	}
	return objects, nil
}

func (d *Deployer) waitSecrets(ctx context.Context) error {
	for pause := lookOften; ; pause = min(pause*11/10, lookSeldom) {
		missing, err := d.secretsMissing(ctx)
		if err != nil || !missing {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

func (d *Deployer) secretsMissing(ctx context.Context) (bool, error) {
	list, err := d.client.CoreV1().Secrets(layout.GatewayNamespace).List(ctx, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return false, err
	}
	have := map[string]bool{}
	for _, s := range list.Items {
		have[s.Name] = true
	}
	for _, name := range neededSecrets {
		if !have[name] {
			return true, nil
		}
	}
	return false, nil
}

func (d *Deployer) resource(apiVersion, kind, namespace string) (dynamic.ResourceInterface, error) {
	o := unstructured.Unstructured{}
	o.SetAPIVersion(apiVersion)
	o.SetKind(kind)
	gvk := o.GroupVersionKind()
	mapping, err := d.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		// A resource definition may have been applied a moment ago.
		d.mapper.Reset()
		if mapping, err = d.mapper.RESTMapping(gvk.GroupKind(), gvk.Version); err != nil {
			return nil, err
		}
	}
	return d.dynamic.Resource(mapping.Resource).Namespace(namespace), nil
}

func (d *Deployer) apply(ctx context.Context, o unstructured.Unstructured) error {
	resource, err := d.resource(o.GetAPIVersion(), o.GetKind(), o.GetNamespace())
	if err != nil {
		return err
	}
	_, err = resource.Apply(ctx, o.GetName(), &o, metav1.ApplyOptions{FieldManager: fieldManager, Force: true})
	return err
}

func (d *Deployer) remove(ctx context.Context, o object) error {
	resource, err := d.resource(o.APIVersion, o.Kind, o.Namespace)
	if meta.IsNoMatchError(err) {
		return nil // gone with its definition
	}
	if err != nil {
		return err
	}
	err = resource.Delete(ctx, o.Name, metav1.DeleteOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

func (d *Deployer) readRecord(ctx context.Context) (record, error) {
	stored, err := d.client.CoreV1().ConfigMaps(layout.SystemNamespace).Get(ctx, inventory, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return record{}, nil
	}
	if err != nil {
		return record{}, err
	}
	var r record
	if err := json.Unmarshal([]byte(stored.Data["record"]), &r); err != nil {
		return record{}, fmt.Errorf("record of deployed objects: %w", err)
	}
	return r, nil
}

func (d *Deployer) writeRecord(ctx context.Context, r record) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	configMap := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: inventory, Namespace: layout.SystemNamespace},
		Data:       map[string]string{"record": string(data)},
	}
	client := d.client.CoreV1().ConfigMaps(layout.SystemNamespace)
	_, err = client.Update(ctx, configMap, metav1.UpdateOptions{FieldManager: fieldManager})
	if apierrors.IsNotFound(err) {
		_, err = client.Create(ctx, configMap, metav1.CreateOptions{FieldManager: fieldManager})
	}
	return err
}
