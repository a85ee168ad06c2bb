// Package translate turns what clients send into sandboxes, after checking
// it, and sandboxes into what clients get.
package translate

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// Invalid is a request that cannot be met as it stands. Its text names the
// field and the accepted form.
type Invalid struct {
	Field   string // path in the request, such as spec.template.image
	Problem string
}

func (e *Invalid) Error() string { return e.Field + ": " + e.Problem }

func invalid(field, format string, args ...any) *Invalid {
	return &Invalid{Field: field, Problem: fmt.Sprintf(format, args...)}
}

// firstOf answers the first check that fails.
func firstOf(checks ...func() *Invalid) error {
	for _, check := range checks {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// unknown refuses fields of a newer contract: who sets one expects it to count.
func unknown(field string, m proto.Message) *Invalid {
	raw := m.ProtoReflect().GetUnknown()
	if len(raw) == 0 {
		return nil
	}
	number, _, _ := protowire.ConsumeTag(raw)
	return invalid(field, "field number %d is not known to this gateway", number)
}

// shown makes text of a client fit for an error: quoted, and not long.
func shown(text string) string {
	const most = 64
	if r := []rune(text); len(r) > most {
		text = string(r[:most]) + "…"
	}
	return fmt.Sprintf("%q", strings.ToValidUTF8(text, "?"))
}

// sorted answers the keys in the order in which they are checked, so that the
// same request has the same error each time.
func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
