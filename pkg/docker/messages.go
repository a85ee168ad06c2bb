package docker

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/moby/moby/api/types/jsonstream"
)

// readMessages reads the engine's stream of JSON messages to its end and
// reports each as a line, those of one layer's progress at most once in every
// tenth of the way. A message that carries an error ends it.
func readMessages(r io.Reader, line func(string)) error {
	dec := json.NewDecoder(r)
	last := map[string]string{} // by layer
	for {
		var m jsonstream.Message
		err := dec.Decode(&m)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("progress of the engine: %w", err)
		}
		if m.Error != nil {
			return m.Error
		}
		text := describe(m)
		if text == "" || (m.ID != "" && last[m.ID] == text) {
			continue
		}
		last[m.ID] = text
		line(text)
	}
}

func describe(m jsonstream.Message) string {
	text := strings.TrimSpace(m.Stream + m.Status)
	if m.ID != "" && text != "" {
		text = m.ID + ": " + text
	}
	if p := m.Progress; p != nil && p.Total > 0 && p.Current >= 0 && p.Current <= p.Total {
		text += fmt.Sprintf(" %d%%", int64(float64(p.Current)/float64(p.Total)*10)*10)
	}
	return text
}
