package app

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"openshell.ai/openshell/pkg/edge/edgeapi"
)

const (
	maxBody  = 64 << 10
	maxToken = 4 << 10
)

// refusal is an answer other than success.
type refusal struct {
	status  int
	message string
}

func (r *refusal) Error() string { return r.message }

func refused(status int, format string, args ...any) error {
	return &refusal{status, fmt.Sprintf(format, args...)}
}

func refuse(w http.ResponseWriter, status int, message string) {
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	answer(w, status, edgeapi.Error{Error: message})
}

func answer(w http.ResponseWriter, status int, doc any) {
	data, err := json.Marshal(doc)
	if err != nil {
		status, data = http.StatusInternalServerError, []byte(`{"error":"the answer cannot be written"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(data, '\n')) // the client may be gone
}

// endpoint answers one method with a document.
func (a *App) endpoint(method string, handle func(*http.Request) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != method && (method != http.MethodGet || r.Method != http.MethodHead) {
			w.Header().Set("Allow", method)
			refuse(w, http.StatusMethodNotAllowed, "the method is "+method)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		doc, err := handle(r)
		var no *refusal
		switch {
		case errors.As(err, &no):
			a.log.Info("refused", "path", r.URL.Path, "status", no.status, "reason", no.message, "from", r.Header.Get("X-Real-IP"))
			refuse(w, no.status, no.message)
		case err != nil:
			a.log.Warn("request failed", "path", r.URL.Path, "error", err)
			refuse(w, http.StatusServiceUnavailable, "the gateway cannot answer now")
		default:
			answer(w, http.StatusOK, doc)
		}
	})
}

// public is what nginx leads to.
func (a *App) public() http.Handler {
	mux := http.NewServeMux()
	mux.Handle(edgeapi.PingPath, a.endpoint(http.MethodGet, a.ping))
	mux.Handle(edgeapi.EventPath, a.endpoint(http.MethodPost, a.event))
	mux.Handle(edgeapi.VPNConfigPath, a.endpoint(http.MethodGet, a.vpnConfig))
	mux.Handle(edgeapi.StartPath, a.endpoint(http.MethodPost, a.start))
	mux.HandleFunc("/", notFound)
	return guard(a.config.Origins, mux)
}

func notFound(w http.ResponseWriter, _ *http.Request) {
	refuse(w, http.StatusNotFound, "there is nothing here")
}

func (a *App) ping(*http.Request) (any, error) {
	state, _ := a.machine.State()
	return edgeapi.Ping{GatewayID: a.config.GatewayID, Build: a.parts.Build, State: state}, nil
}

// bearer takes the one token of a request.
func bearer(r *http.Request) (string, error) {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return "", refused(http.StatusUnauthorized, "the header Authorization is needed, once")
	}
	token, ok := strings.CutPrefix(values[0], "Bearer ")
	if !ok || token == "" || len(token) > maxToken {
		return "", refused(http.StatusUnauthorized, "the header Authorization is not like \"Bearer TOKEN\"")
	}
	return token, nil
}

// readBody decodes the one JSON object of a request.
func readBody(r *http.Request, into any) error {
	data, err := io.ReadAll(r.Body)
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return refused(http.StatusRequestEntityTooLarge, "the body is longer than %d bytes", large.Limit)
	}
	if err != nil {
		return refused(http.StatusBadRequest, "the body cannot be read")
	}
	return decodeBody(data, into)
}

func decodeBody(data []byte, into any) error {
	if !bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")) {
		return refused(http.StatusBadRequest, "the body is not a JSON object")
	}
	if err := json.Unmarshal(data, into); err != nil {
		return refused(http.StatusBadRequest, "the body is not understood: %v", err)
	}
	return nil
}
