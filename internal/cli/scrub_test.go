package cli

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"
)

func TestPitfall28BundleScrubsSecrets(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	block := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
	body := strings.Split(string(block), "\n")[1]
	inJSON, err := json.Marshal(map[string]string{"tls.key": string(block)})
	if err != nil {
		t.Fatal(err)
	}
	handshake := hex.EncodeToString(bytes.Repeat([]byte{0xa5}, 32))
	for name, c := range map[string]struct{ text, secret string }{
		"PEM":                {"before\n" + string(block) + "after", body},
		"PEM in JSON":        {string(inJSON), body},
		"PEM in base64":      {base64.StdEncoding.EncodeToString(block), base64.StdEncoding.EncodeToString(block)[:40]},
		"PEM without begin":  {string(block[40:]), body[20:]},
		"PEM without end":    {string(block[:len(block)-40]), body},
		"64 hex digits":      {"secret=" + handshake + "\n", handshake[:16]},
		"after a digest":     {"sha256:" + handshake + handshake, handshake[:16] + handshake[:16]},
		"JSON web token":     {"token eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln", "eyJzdWIiOiJ4In0"},
		"short, by its name": {"GET /x?access_token=hunter2&y=1", "hunter2"},
		"in JSON by a name":  {`{"apiKey": "hunter2"}`, "hunter2"},
		"in an environment":  {"MY_PASSWORD=hunter2 run", "hunter2"},
		"bearer":             {"Authorization: Bearer abcdef0123456789", "abcdef0123456789"},
		"two blocks, nested": {string(block) + "x" + string(block), body},
	} {
		t.Run(name, func(t *testing.T) {
			if got := string(scrub([]byte(c.text))); strings.Contains(got, c.secret) {
				t.Errorf("left in: %s", got)
			}
		})
	}
}

func TestScrubKeepsWhatADiagnosisNeeds(t *testing.T) {
	for _, text := range []string{
		"",
		"2026-01-02T03:04:05Z etcd: compacted revision 1234",
		"auth/store.go:1137: simple token is not cryptographically signed",
		"the token: it has expired",
		"image sha256:" + strings.Repeat("0123456789abcdef", 4) + " loaded",
		"container fedcba987654 exited with code 1: /usr/local/bin/openshell-node",
	} {
		if got := string(scrub([]byte(text))); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}

func FuzzScrub(f *testing.F) {
	f.Add([]byte("log "), []byte(" line\n"))
	f.Add([]byte("sha256:"), []byte("-----END X-----"))
	secret := strings.Repeat("0123456789abcdef", 4)
	f.Fuzz(func(t *testing.T, before, after []byte) {
		text := append(append(append([]byte{}, before...), " secret="+secret+" "...), after...)
		if bytes.Contains(scrub(text), []byte(secret)) && !bytes.Contains(before, []byte("sha256:")) && !bytes.Contains(after, []byte(secret)) {
			t.Errorf("left in %q", text)
		}
	})
}
