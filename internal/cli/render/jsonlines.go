package render

import (
	"encoding/json"
	"io"

	"openshell.ai/openshell/pkg/bootstrap"
)

type jsonLines struct{ enc *json.Encoder }

// NewJSON shows events as one JSON object a line: bootstrap.Event.
func NewJSON(w io.Writer) Progress {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return jsonLines{enc}
}

func (j jsonLines) Close() {}

// Progress that nobody reads any more does not end the work.
func (j jsonLines) Event(e bootstrap.Event) { _ = j.enc.Encode(e) }
