package hostconfig

import (
	"regexp"
	"strings"

	"openshell.ai/openshell/pkg/gateway"
)

// Windows opens these as devices, with or without an extension.
var deviceName = regexp.MustCompile(`^(con|prn|aux|nul|conin\$|conout\$|com[0-9]|lpt[0-9])(\.|$)`)

// dirName is the directory of a gateway: its name, with "+" before what was a
// capital letter, because file systems may not tell Foo from foo, and "=" before
// a name that Windows keeps for a device. Neither sign occurs in a name.
func dirName(name gateway.Name) string {
	var b strings.Builder
	if deviceName.MatchString(strings.ToLower(string(name))) {
		b.WriteByte('=')
	}
	for _, c := range []byte(name) {
		if 'A' <= c && c <= 'Z' {
			b.WriteByte('+')
			c += 'a' - 'A'
		}
		b.WriteByte(c)
	}
	return b.String()
}

// nameOfDir is the inverse of dirName; ok is false for anything dirName does
// not write.
func nameOfDir(dir string) (name gateway.Name, ok bool) {
	var b strings.Builder
	rest := strings.TrimPrefix(dir, "=")
	for i := 0; i < len(rest); i++ {
		c := rest[i]
		if c == '+' && i+1 < len(rest) {
			i++
			c = rest[i] - ('a' - 'A')
		}
		b.WriteByte(c)
	}
	name, err := gateway.ParseName(b.String())
	if err != nil || dirName(name) != dir {
		return "", false
	}
	return name, true
}
