package cli

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestKeysThatLeave(t *testing.T) {
	for _, c := range []struct {
		keys, passed string
		left         bool
	}{
		{"abc", "abc", false},
		{"a\x10\x11b", "a", true},
		{"\x10\x10\x11b", "\x10", true},
		{"\x10a\x11", "\x10a\x11", false},
		{"\x11\x10", "\x11", false}, // held back until the next key
	} {
		for name, wrap := range map[string]func(io.Reader) io.Reader{"at once": func(r io.Reader) io.Reader { return r }, "one by one": iotest.OneByteReader} {
			left := false
			l := &leaver{r: wrap(strings.NewReader(c.keys)), leave: func() { left = true }}
			got, err := io.ReadAll(l)
			if string(got) != c.passed || left != c.left || left != errors.Is(err, errLeft) {
				t.Errorf("%q %s: %q, left %v, %v", c.keys, name, got, left, err)
			}
		}
	}
}

func FuzzLeaver(f *testing.F) {
	f.Add([]byte("a\x10b"), 3)
	f.Fuzz(func(t *testing.T, keys []byte, size int) {
		if bytes.Contains(keys, []byte{leaveFirst, leaveSecond}) || bytes.HasSuffix(keys, []byte{leaveFirst}) || size < 1 || size > 100 {
			return
		}
		l := &leaver{r: bytes.NewReader(keys), leave: func() { t.Error("left") }}
		var got []byte
		for buffer := make([]byte, size); ; {
			n, err := l.Read(buffer)
			got = append(got, buffer[:n]...)
			if err != nil {
				break
			}
		}
		if size > 1 && !bytes.Equal(got, keys) {
			t.Errorf("%q became %q", keys, got)
		}
	})
}
