package bootstrap

import (
	"cmp"
	"regexp"
	"strconv"
	"strings"
)

// A version is MAJOR.MINOR.PATCH, with the number of commits after that tag
// (v0.3.0-12-g1a2b3c4, as `git describe` writes it) or on the way to it
// (0.3.0-dev.12.g1a2b3c4).
var versionForm = regexp.MustCompile(`^v?(\d+)\.(\d+)\.(\d+)(?:-(\d+)-g[0-9a-f]+|-(dev)\.(\d+)\.g[0-9a-f]+)?(?:[-.]dirty)?$`)

// compareVersions orders two versions; ok is false when one of them has no
// place in the order, as "dev" has none.
func compareVersions(a, b string) (order int, ok bool) {
	x, y := versionForm.FindStringSubmatch(a), versionForm.FindStringSubmatch(b)
	if x == nil || y == nil {
		return 0, false
	}
	for i := 1; i < len(x); i++ {
		c := cmp.Compare(number(x[i]), number(y[i]))
		if i == beforeTag {
			c = strings.Compare(y[i], x[i]) // what leads to a tag comes before it
		}
		if c != 0 {
			return c, true
		}
	}
	return 0, true
}

// beforeTag is the group that holds "dev".
const beforeTag = 5

// number is the value of a group of digits; an absent one is 0.
func number(digits string) uint64 {
	n, err := strconv.ParseUint(digits, 10, 32)
	if err != nil && digits != "" {
		return 1 << 32
	}
	return n
}
