package routes

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"openshell.ai/openshell/pkg/durable"
	"openshell.ai/openshell/pkg/edge"
)

// remembered is the file of live containers. They get the watchdog's time to
// report to the next process before their services end: a restart of app-gateway
// drops no route.
type remembered struct {
	Epoch int64                        `json:"epoch"`
	Live  map[string]map[string]uint16 `json:"live"` // by container: what it mapped
}

// remember needs the lock.
func (t *Table) remember() {
	doc := remembered{Epoch: t.config.Epoch, Live: map[string]map[string]uint16{}}
	for id, p := range t.pulses {
		if p.alive {
			doc.Live[id] = p.mapped
		}
	}
	data, err := json.Marshal(doc)
	if err == nil {
		err = durable.WriteFile(t.config.LiveFile, data, 0o600)
	}
	t.report("live services", err)
}

// restore takes what the last process of this epoch remembered.
func (t *Table) restore() {
	data, err := os.ReadFile(t.config.LiveFile)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var doc remembered
	if err == nil {
		doc, err = decodeRemembered(data)
	}
	if err != nil {
		t.report("live services", fmt.Errorf("%s: %w: containers must report again", t.config.LiveFile, err))
		return
	}
	if doc.Epoch != t.config.Epoch {
		return
	}
	for id, mapped := range doc.Live {
		t.beat(id)
		t.pulses[id].mapped = mapped
	}
}

func decodeRemembered(data []byte) (remembered, error) {
	var doc remembered
	if err := json.Unmarshal(data, &doc); err != nil {
		return remembered{}, err
	}
	for id, mapped := range doc.Live {
		if mapped == nil {
			doc.Live[id] = map[string]uint16{}
		}
		for host, port := range mapped {
			if err := edge.CheckHost(host); err != nil || port == 0 {
				return remembered{}, fmt.Errorf("service %q on port %d cannot be", host, port)
			}
		}
	}
	return doc, nil
}
