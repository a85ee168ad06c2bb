package nodeapi_test

import (
	"strings"
	"testing"
	"time"

	"openshell.ai/openshell/pkg/nodeapi"
)

func TestParseState(t *testing.T) {
	at := time.Date(2026, 11, 21, 21, 15, 0, 0, time.UTC)
	for name, want := range map[string]string{
		"aside-20261121T211500Z":               nodeapi.AsidePrefix,
		"aside-20261121T211500Z-2":             nodeapi.AsidePrefix,
		"aside-20261121T211500Z-unreadable":    nodeapi.AsidePrefix,
		"snapshot-20261121T211500Z":            nodeapi.SnapshotPrefix,
		"database-20261121T211500Z":            nodeapi.DatabasePrefix,
		"snapshot-20261121T211500Z-unreadable": "",
		"snapshot-20261121T211500Z.db":         "",
		"snapshot-20261321T211500Z":            "", // there is no such month
		"snapshot-":                            "",
		"etcd":                                 "",
		"aside-20261121T211500Z/..":            "",
		"aside-20261121T211500Z\n":             "",
		"":                                     "",
	} {
		prefix, got, ok := nodeapi.ParseState(name)
		if prefix != want || ok != (want != "") || ok && !got.Equal(at) {
			t.Errorf("ParseState(%q) = %q, %s, %t; want %q", name, prefix, got, ok, want)
		}
	}
}

// A name leads to a file beside the others, whatever it says.
func FuzzParseState(f *testing.F) {
	f.Add("aside-20261121T211500Z-unreadable")
	f.Add("snapshot-20261121T211500Z")
	f.Add("database-20261121T211500Z/../../etc")
	f.Fuzz(func(t *testing.T, name string) {
		prefix, at, ok := nodeapi.ParseState(name)
		if !ok {
			return
		}
		if strings.ContainsAny(name, "/\x00\n") {
			t.Errorf("%q is taken for a name", name)
		}
		if !strings.HasPrefix(name, nodeapi.StateName(prefix, at)) {
			t.Errorf("%q became %q", name, nodeapi.StateName(prefix, at))
		}
	})
}
