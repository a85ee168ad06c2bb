package sandbox

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// capacity is the most that one node has of each resource.
func capacity(ctx context.Context, c client.Reader) (corev1.ResourceList, error) {
	var nodes corev1.NodeList
	// Version 0: as the API server remembers them, which is what does not change.
	if err := c.List(ctx, &nodes, &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: "0"}}); err != nil {
		return nil, fmt.Errorf("nodes: %w", err)
	}
	most := corev1.ResourceList{}
	for _, node := range nodes.Items {
		for _, name := range bounded() {
			if have := node.Status.Allocatable[name]; have.Cmp(most[name]) > 0 {
				most[name] = have
			}
		}
	}
	return most, nil
}

// capacities remembers what nodes have, for a pod to be made without asking.
type capacities struct {
	mu   sync.Mutex
	have corev1.ResourceList
	at   time.Time // zero: never asked
}

// capacityAge is how old an answer may be. A node's capacity changes when its
// container is made anew, and the server's with it.
const capacityAge = time.Minute

func (c *capacities) get(ctx context.Context, r client.Reader, now time.Time) (corev1.ResourceList, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.at.IsZero() && now.Sub(c.at) < capacityAge {
		return c.have, nil
	}
	have, err := capacity(ctx, r)
	if err != nil {
		return nil, err
	}
	c.have, c.at = have, now
	return have, nil
}

// bounded are the resources that a sandbox may ask for.
func bounded() []corev1.ResourceName {
	return []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory}
}

// fits refuses what no node has.
func fits(ctx context.Context, c client.Reader, want corev1.ResourceRequirements) error {
	if len(want.Limits) == 0 && len(want.Requests) == 0 {
		return nil
	}
	have, err := capacity(ctx, c)
	if err != nil {
		return err
	}
	return within(want, have)
}

func within(want corev1.ResourceRequirements, have corev1.ResourceList) error {
	for _, name := range bounded() {
		most, known := have[name]
		for _, list := range []corev1.ResourceList{want.Limits, want.Requests} {
			if asked, ok := list[name]; ok && known && asked.Cmp(most) > 0 {
				return tooMuch(fmt.Sprintf("%s: %s is more than the %s of the node", name, asked.String(), readable(most)))
			}
		}
	}
	return nil
}

// tooMuch is an ErrResources in words.
type tooMuch string

func (e tooMuch) Error() string        { return string(e) }
func (e tooMuch) Is(target error) bool { return target == ErrResources }

// readable shortens the bytes of a node, which come as Ki or bare numbers.
func readable(q resource.Quantity) string {
	const mebi = 1 << 20
	if v := q.Value(); v >= mebi {
		return fmt.Sprintf("%dMi", v/mebi)
	}
	return q.String()
}
