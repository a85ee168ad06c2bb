package docker

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMessagesBecomeLines(t *testing.T) {
	const stream = `{"status":"Loading layer","progressDetail":{"current":0,"total":100},"progress":"[>  ]","id":"abc"}
{"status":"Loading layer","progressDetail":{"current":4,"total":100},"id":"abc"}
{"status":"Loading layer","progressDetail":{"current":55,"total":100},"id":"abc"}
{"status":"Loading layer","progressDetail":{"current":59,"total":100},"id":"abc"}
{"status":"Loading layer","progressDetail":{"current":100,"total":100},"id":"abc"}
{"status":"Pulling fs layer","progressDetail":{},"id":"def"}
{"stream":"Loaded image: openshell/cluster:v1\n"}
{"aux":{"ID":"sha256:0"}}
`
	var got []string
	if err := readMessages(strings.NewReader(stream), func(l string) { got = append(got, l) }); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"abc: Loading layer 0%", "abc: Loading layer 50%", "abc: Loading layer 100%", "def: Pulling fs layer",
		"Loaded image: openshell/cluster:v1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestMessageWithAnErrorEndsTheStream(t *testing.T) {
	const stream = `{"status":"Loading layer","id":"abc"}
{"errorDetail":{"message":"write /x: no space left on device"},"error":"write /x: no space left on device"}
{"status":"never","id":"abc"}
`
	err := (&engine{}).fail("load image", "", readMessages(strings.NewReader(stream), func(l string) {
		if strings.Contains(l, "never") {
			t.Error("read on after the error")
		}
	}))
	if !IsNoSpace(err) {
		t.Errorf("err %v", err)
	}
	if err := readMessages(strings.NewReader(`{"status":`), func(string) {}); err == nil {
		t.Error("a cut stream is not an error")
	}
}

func FuzzReadMessages(f *testing.F) {
	f.Add(`{"status":"Loading layer","progressDetail":{"current":9223372036854775807,"total":1},"id":"abc"}`)
	f.Add(`{"errorDetail":{}}`)
	f.Add(`{"stream":"Loaded image: x\n"}`)
	f.Fuzz(func(t *testing.T, s string) {
		_ = readMessages(strings.NewReader(s), func(line string) {
			if line == "" {
				t.Error("empty line")
			}
		})
	})
}
