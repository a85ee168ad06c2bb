package cni

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func (n *node) wantAddresses(want map[string]string) {
	n.t.Helper()
	addresses, err := Addresses(n.SandboxDir)
	if err != nil {
		n.t.Fatal(err)
	}
	got := map[string]string{}
	for pod, address := range addresses {
		got[pod] = address.String()
	}
	if diff := cmp.Diff(want, got); diff != "" {
		n.t.Errorf("addresses (-want +got):\n%s", diff)
	}
}

func TestAddressesOfSandboxesAreWrittenDownWhileTheyLast(t *testing.T) {
	n := newNode(t)
	n.wantAddresses(map[string]string{}) // before the first pod
	for container, address := range map[string]string{"c1": "10.0.0.5", "c2": "10.0.0.6"} {
		args := "IgnoreUnknown=1;K8S_POD_NAMESPACE=openshell-sandboxes;K8S_POD_NAME=id-" + container
		if out, err := n.runWith("ADD", container, args, config(address+"/20")); err != nil || out != result(address+"/20") {
			t.Fatalf("%q, %v", out, err)
		}
	}
	if _, err := n.run("ADD", "c3", "openshell", config("10.0.0.7/20")); err != nil {
		t.Fatal(err)
	}
	n.want("10.0.0.7") // no sandbox is let through
	n.wantAddresses(map[string]string{"id-c1": "10.0.0.5", "id-c2": "10.0.0.6"})
	for range 2 { // again is no error
		if _, err := n.run("DEL", "c1", "openshell-sandboxes", "{}"); err != nil {
			t.Fatal(err)
		}
	}
	n.wantAddresses(map[string]string{"id-c2": "10.0.0.6"})
	n.want("10.0.0.7")
}

func TestAddressesThatCannotBeReadAreLeftOut(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	for name, file := range map[string]struct {
		content string
		age     time.Duration
	}{
		"old":      {`{"pod":"box","address":"10.0.0.5"}`, time.Minute},
		"new":      {`{"pod":"box","address":"10.0.0.9"}`, time.Second},
		"half":     {`{"pod":"half","add`, 0},
		"empty":    {"", 0},
		"nameless": {`{"address":"10.0.0.7"}`, 0},
		"nowhere":  {`{"pod":"nowhere","address":""}`, 0},
		"no":       {`{"pod":"no","address":"10.0.0.256"}`, 0},
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(file.content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, now, now.Add(-file.age)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Addresses(dir)
	want := map[string]netip.Addr{"box": netip.MustParseAddr("10.0.0.9")}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" || err != nil {
		t.Errorf("error %v, addresses (-want +got):\n%s", err, diff)
	}
}
