package routes

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"openshell.ai/openshell/pkg/edge"
)

func TestDecodeSandboxes(t *testing.T) {
	for name, c := range map[string]struct {
		doc string
		n   int
		ok  bool
	}{
		"none":             {`[]`, 0, true},
		"one":              {`[{"host":"web","sandbox":"box","id":"s1","ip":"10.42.0.7","port":80}]`, 1, true},
		"asleep":           {`[{"host":"web","sandbox":"box","id":"s1","port":80}]`, 1, true},
		"asleep, empty ip": {`[{"host":"web","sandbox":"box","id":"s1","ip":"","port":80}]`, 1, true},
		"two owners":       {`[{"host":"web","id":"s1","port":80},{"host":"web","id":"s2","port":80}]`, 2, true},
		"empty":            {``, 0, false},
		"half":             {`[{"host":"web","id":"s1","po`, 0, false},
		"null":             {`null`, 0, false},
		"object":           {`{}`, 0, false},
		"more after it":    {`[] []`, 0, false},
		"bad name":         {`[{"host":"web;","id":"s1","port":80}]`, 0, false},
		"reserved name":    {`[{"host":"collab","id":"s1","port":80}]`, 0, false},
		"no id":            {`[{"host":"web","port":80}]`, 0, false},
		"no port":          {`[{"host":"web","id":"s1"}]`, 0, false},
		"large port":       {`[{"host":"web","id":"s1","port":65536}]`, 0, false},
		"bad ip":           {`[{"host":"web","id":"s1","ip":"10.42.0","port":80}]`, 0, false},
		"twice":            {`[{"host":"web","id":"s1","port":80},{"host":"web","id":"s1","port":81}]`, 0, false},
	} {
		set, err := DecodeSandboxes([]byte(c.doc))
		if (err == nil) != c.ok || len(set) != c.n {
			t.Errorf("%s: %v, %v", name, set, err)
		}
	}
}

func FuzzDecodeSandboxes(f *testing.F) {
	f.Add([]byte(`[{"host":"web","sandbox":"box","id":"s1","ip":"10.42.0.7","port":80}]`))
	f.Add([]byte(`[{"host":"web","id":"s1","ip":"fe80::1%\n","port":80}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := DecodeSandboxes(data)
		if err != nil && set != nil {
			t.Error("half a set")
		}
		for _, route := range set {
			if edge.CheckHost(route.Host) != nil || route.ID == "" || route.Port == 0 {
				t.Errorf("taken: %+v", route)
			}
		}
	})
}

func FuzzDecodeRemembered(f *testing.F) {
	f.Add([]byte(`{"epoch":1,"live":{"a":{"web":80},"b":null}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		doc, err := decodeRemembered(data)
		if err != nil {
			return
		}
		for _, mapped := range doc.Live {
			if mapped == nil {
				t.Error("a container without a map")
			}
		}
	})
}

func TestReadSandboxesThatAreNotThere(t *testing.T) {
	set, known, err := ReadSandboxes(filepath.Join(t.TempDir(), "none"))
	if set != nil || known || err != nil {
		t.Errorf("%v, %v, %v, want that nothing is known", set, known, err)
	}
}

func TestWatchSeesEveryKindOfChange(t *testing.T) {
	path := filepath.Join(t.TempDir(), "routes.json")
	changes := make(chan string, 10)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		Watch(ctx, path, time.Millisecond, func() {
			data, _ := os.ReadFile(path)
			changes <- string(data)
		})
	}()
	next := func(want string) {
		t.Helper()
		for {
			select {
			case got := <-changes:
				if got == want {
					return
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("%q was not seen", want)
			}
		}
	}
	next("")
	if err := os.WriteFile(path, []byte("[1]"), 0o600); err != nil {
		t.Fatal(err)
	}
	next("[1]")
	if err := os.WriteFile(path+".new", []byte("[2]"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	next("[2]")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	next("")
	cancel()
	<-done
}

func TestWatchEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		go Watch(ctx, "/nonexistent/file", 200*time.Millisecond, func() {})
		time.Sleep(time.Second)
		cancel()
	})
}
