package handshake

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

const testKey = Key("00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff")

func TestDeriveMatchesTheContract(t *testing.T) {
	// printf abc123 | openssl dgst -sha256 -hmac 0011…eeff
	const want = "b6a92561f7a8bd519179963c2effd995d280d751a81b58a202c3dce750035dc8"
	got := Derive(testKey, "abc123")
	if string(got) != want {
		t.Errorf("derived %s", string(got))
	}
	if _, err := ParseKey(string(got)); err != nil {
		t.Errorf("a derived key is no key: %v", err)
	}
	if Derive(testKey, "abc124") == got {
		t.Error("two sandboxes have one key")
	}
}

func TestParseKey(t *testing.T) {
	for name, tc := range map[string]struct {
		value string
		ok    bool
	}{
		"64 digits":  {string(testKey), true},
		"a newline":  {string(testKey) + "\n", true},
		"empty":      {"", false},
		"short":      {string(testKey[:63]), false},
		"long":       {string(testKey) + "0", false},
		"no digits":  {strings.Repeat("x", 64), false},
		"space":      {" " + string(testKey[:63]), false},
		"with a NUL": {string(testKey[:63]) + "\x00", false},
	} {
		t.Run(name, func(t *testing.T) {
			key, err := ParseKey(tc.value)
			switch {
			case (err == nil) != tc.ok:
				t.Fatalf("error %v", err)
			case tc.ok && key != testKey:
				t.Fatal("another key")
			case err != nil && len(tc.value) > 8 && strings.Contains(err.Error(), tc.value[:8]):
				t.Errorf("the error shows the value: %v", err)
			}
		})
	}
}

func TestPitfall28KeyIsNotPrinted(t *testing.T) {
	type holder struct {
		Key  Key
		Keys []Key
	}
	h := holder{testKey, []Key{testKey}}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+verb, testKey, h)
	}
	fmt.Fprintln(&out, testKey, h, fmt.Errorf("key %v", testKey))
	for _, log := range []*slog.Logger{slog.New(slog.NewTextHandler(&out, nil)), slog.New(slog.NewJSONHandler(&out, nil))} {
		log.Info("key", "key", testKey, "holder", h)
	}
	if b, err := json.Marshal(h); err == nil {
		out.Write(b)
	}
	if s := out.String(); strings.Contains(s, string(testKey[:16])) || strings.Contains(s, fmt.Sprintf("%x", string(testKey[:8]))) {
		t.Errorf("a key is shown in %s", s)
	}
}
