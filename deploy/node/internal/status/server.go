package status

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"openshell.ai/openshell/pkg/nodeapi"
)

// Checker looks at the node's health now.
type Checker interface {
	Check(context.Context) []nodeapi.Check
}

// EdgeLooker looks at the edge now.
type EdgeLooker interface {
	Look(context.Context) nodeapi.Edge
}

// watchEvery is how often the health is looked at for a watcher that sees no
// other change.
const watchEvery = 500 * time.Millisecond

// Serve answers on the node's socket until ctx ends: GET /v1/status is one
// Status with fresh checks, GET /v1/watch one JSON line at once and after every
// change, GET /v1/edge a fresh Edge alone.
func Serve(ctx context.Context, state *State, checker Checker, edge EdgeLooker) error {
	if err := os.RemoveAll(nodeapi.Socket); err != nil {
		return fmt.Errorf("node socket: %w", err)
	}
	listener, err := net.Listen("unix", nodeapi.Socket)
	if err != nil {
		return fmt.Errorf("node socket: %w", err)
	}
	if err := os.Chmod(nodeapi.Socket, 0o600); err != nil {
		return errors.Join(fmt.Errorf("node socket: %w", err), listener.Close())
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, r *http.Request) {
		look(r.Context(), state, checker, edge)
		snapshot, _ := state.Snapshot()
		w.Header().Set("Content-Type", "application/json")
		// An error means that the asker is gone.
		_ = json.NewEncoder(w).Encode(snapshot)
	})
	mux.HandleFunc("GET /v1/watch", func(w http.ResponseWriter, r *http.Request) {
		watch(w, r, state, checker, edge)
	})
	mux.HandleFunc("GET /v1/edge", func(w http.ResponseWriter, r *http.Request) {
		state.Edge(edge.Look(r.Context()))
		snapshot, _ := state.Snapshot()
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(snapshot.Edge)
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// look brings the status up to date, the gateway and its edge side by side.
func look(ctx context.Context, state *State, checker Checker, edge EdgeLooker) {
	var beside sync.WaitGroup
	beside.Go(func() { state.Edge(edge.Look(ctx)) })
	state.Checked(checker.Check(ctx))
	beside.Wait()
}

func watch(w http.ResponseWriter, r *http.Request, state *State, checker Checker, edge EdgeLooker) {
	w.Header().Set("Content-Type", "application/jsonl")
	encoder, flusher := json.NewEncoder(w), http.NewResponseController(w)
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		snapshot, changed := state.Snapshot()
		if encoder.Encode(snapshot) != nil || flusher.Flush() != nil {
			return
		}
	unchanged:
		for {
			select {
			case <-changed:
				break unchanged
			case <-ticker.C:
				look(r.Context(), state, checker, edge)
			case <-r.Context().Done():
				return
			}
		}
	}
}
