// Package report is how the node's processes tell openshell-node what they
// have reached: JSON lines on file descriptor 3.
package report

import (
	"encoding/json"
	"os"
	"sync"

	"openshell.ai/openshell/pkg/nodeapi"
)

const descriptor = 3

// Reporter writes reports. It is safe for concurrent use.
type Reporter struct {
	mu   sync.Mutex
	file *os.File
}

// New returns a reporter on the inherited descriptor.
func New() *Reporter { return &Reporter{file: os.NewFile(descriptor, "report")} }

// Milestone reports that a step of the boot is done.
func (r *Reporter) Milestone(m nodeapi.Milestone) {
	r.write(map[string]any{"milestone": m})
}

// Failure reports that the node cannot go on.
func (r *Reporter) Failure(f nodeapi.Failure) {
	r.write(map[string]any{"failure": f})
}

func (r *Reporter) write(v any) {
	line, err := json.Marshal(v)
	if err != nil {
		panic(err) // only plain types above
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	// Without a reader the process is run by hand, and nobody wants to know.
	_, _ = r.file.Write(append(line, '\n'))
}
