package server

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	v1 "openshell.ai/openshell/pkg/sandbox/v1"
	"openshell.ai/openshell/pkg/sandboxapi"
	"openshell.ai/openshell/pkg/sandboxssh"
)

// ask sends a request as curl would, and answers the status and the lines of
// the body, each a JSON document.
func ask(t *testing.T, s running, method, path, body string) (int, []map[string]any) {
	t.Helper()
	request, err := http.NewRequestWithContext(deadlined(t, longEnough), method, "http://"+s.Addr().String()+path, strings.NewReader(body))
	must(t, err)
	response, err := http.DefaultClient.Do(request)
	must(t, err)
	defer response.Body.Close()
	var documents []map[string]any
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		var document map[string]any
		if err := json.Unmarshal(lines.Bytes(), &document); err != nil {
			t.Fatalf("%s %s: %q is not JSON: %v", method, path, lines.Text(), err)
		}
		documents = append(documents, document)
	}
	return response.StatusCode, documents
}

// at digs a value out of nested objects, by "a.b.c".
func at(document any, path string) any {
	for _, key := range strings.Split(path, ".") {
		object, _ := document.(map[string]any)
		document = object[key]
	}
	return document
}

func TestLifeOfASandboxAsJSON(t *testing.T) {
	w, s, _ := startWorld(t, Config{Sandboxes: Sandboxes{Image: "default:1"}})
	code, made := ask(t, s, "POST", "/v1/sandboxes", `{"name": "web", "spec": {"environment": {"A": "b"}, "template": {"resources": {"limits": {"cpu": 2}}}}}`)
	if code != 200 || at(made[0], "sandbox.phase") != "SANDBOX_PHASE_PROVISIONING" || at(made[0], "sandbox.spec.environment.A") != "b" {
		t.Fatalf("create = %d %v", code, made)
	}
	id := fmt.Sprint(at(made[0], "sandbox.id"))
	box := &v1.Sandbox{}
	box.Name, box.Namespace = "web", sandboxapi.Namespace
	w.setPhase(t, box, v1.PhaseReady)
	w.exec = func(_ context.Context, e sandboxapi.Exec, streams sandboxssh.Streams) (int, error) {
		_, err := fmt.Fprint(streams.Stdout, strings.Join(e.Argv, " "))
		return 0, err
	}
	w.logs = func(_ context.Context, q sandboxapi.LogQuery, line func(sandboxapi.LogLine)) error {
		line(sandboxapi.LogLine{Message: fmt.Sprint(q.Sources)})
		return nil
	}
	for _, tt := range []struct {
		name, method, path, body string
		want                     map[string]any // by path in the last document
	}{
		{"health", "GET", "/v1/health", "", map[string]any{"status": "SERVICE_STATUS_HEALTHY"}},
		{"get", "GET", "/v1/sandboxes/web", "", map[string]any{"sandbox.id": id, "sandbox.phase": "SANDBOX_PHASE_READY"}},
		{"list", "GET", "/v1/sandboxes?limit=1&offset=1", "", map[string]any{"sandboxes": []any{}}},
		{"exec", "POST", "/v1/sandboxes/by-id/" + id + "/exec", `{"command": ["echo", "hi"]}`, map[string]any{"result.exit.exit_code": 0.0}},
		{"logs", "GET", "/v1/sandboxes/by-id/" + id + "/logs?sources=command", "", map[string]any{"buffer_total": 1.0}},
		{"watch", "GET", "/v1/sandboxes/by-id/" + id + "/watch?log_tail_lines=5&log_sources=supervisor", "", map[string]any{"result.log.message": "[supervisor]"}},
		{"session", "POST", "/v1/sandboxes/by-id/" + id + "/ssh-sessions", "{}", map[string]any{"gateway_host": "127.0.0.1", "gateway_scheme": "http", "connect_path": "/connect/ssh"}},
		{"revoke", "POST", "/v1/ssh-sessions/revoke", `{"token": "unknown"}`, map[string]any{"revoked": false}},
		{"expose", "POST", "/v1/sandboxes/web/routes", `{"port": 8000, "host": "shop"}`, map[string]any{"route.host": "shop", "route.port": 8000.0, "route.sandbox": "web", "created": true}},
		{"unexpose", "DELETE", "/v1/sandboxes/web/routes?port=8000&host=shop", "", nil},
		{"routes", "GET", "/v1/routes?sandbox=web", "", map[string]any{"routes": []any{}}},
		{"stop", "POST", "/v1/sandboxes/web/stop", "", map[string]any{"sandbox.status.stopped": true}},
		{"start", "POST", "/v1/sandboxes/web/start", "", map[string]any{"sandbox.status.stopped": false}},
		{"delete", "DELETE", "/v1/sandboxes/web", "", map[string]any{"deleted": true}},
	} {
		code, documents := ask(t, s, tt.method, tt.path, tt.body)
		if code != 200 || len(documents) == 0 {
			t.Errorf("%s = %d %v", tt.name, code, documents)
			continue
		}
		for path, want := range tt.want {
			if diff := cmp.Diff(want, at(documents[len(documents)-1], path)); diff != "" {
				t.Errorf("%s: %s (-want +got):\n%s\nof %v", tt.name, path, diff, documents)
			}
		}
	}
}

func TestErrorsAsJSON(t *testing.T) {
	w, s, _ := startWorld(t, Config{})
	w.add(t, "web", v1.PhaseReady)
	w.add(t, "new", v1.PhaseProvisioning)
	for _, tt := range []struct {
		name, method, path, body string
		status                   int
		code                     float64
		say                      string
	}{
		{"unknown sandbox", "GET", "/v1/sandboxes/nobody", "", 404, 5, "nobody does not exist"},
		{"taken name", "POST", "/v1/sandboxes", `{"name": "web", "spec": {"template": {"image": "i"}}}`, 409, 6, "exists already"},
		{"bad field", "POST", "/v1/sandboxes", `{"spec": {"gpu": true}}`, 400, 3, "spec.gpu"},
		{"field that is not known", "POST", "/v1/sandboxes", `{"spec": {"sidecar": true}}`, 400, 3, "sidecar"},
		{"no JSON", "POST", "/v1/sandboxes", `{`, 400, 3, ""},
		{"unknown parameter", "GET", "/v1/sandboxes?limit=many", "", 400, 3, "limit"},
		{"not ready", "POST", "/v1/sandboxes/by-id/id-of-new/exec", `{"command": ["x"]}`, 400, 9, "not ready"},
		{"unknown route", "GET", "/v1/nothing", "", 404, 5, ""},
		{"another method", "PUT", "/v1/sandboxes", "", 501, 12, ""},
	} {
		status, documents := ask(t, s, tt.method, tt.path, tt.body)
		if status != tt.status || len(documents) != 1 {
			t.Errorf("%s = %d %v, want %d", tt.name, status, documents, tt.status)
			continue
		}
		d := documents[0]
		if nested, ok := d["error"].(map[string]any); ok { // of a stream
			d = nested
		}
		if _, ok := d["details"].([]any); d["code"] != tt.code || !ok || !strings.Contains(fmt.Sprint(d["message"]), tt.say) {
			t.Errorf("%s: %v, want code %v, details and %q", tt.name, d, tt.code, tt.say)
		}
	}
}

func TestJSONStreamsAsItComes(t *testing.T) {
	w, s, _ := startWorld(t, Config{})
	w.add(t, "web", v1.PhaseReady)
	ended := make(chan struct{})
	w.exec = func(ctx context.Context, _ sandboxapi.Exec, streams sandboxssh.Streams) (int, error) {
		defer close(ended)
		_, _ = io.WriteString(streams.Stdout, "first")
		<-streams.Signals
		return 137, nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, "POST", "http://"+s.Addr().String()+"/v1/sandboxes/by-id/id-of-web/exec", strings.NewReader(`{"command": ["x"]}`))
	must(t, err)
	response, err := http.DefaultClient.Do(request)
	must(t, err)
	defer response.Body.Close()
	line, err := bufio.NewReader(response.Body).ReadString('\n')
	must(t, err)
	if want := `{"result":{"stdout":{"data":"Zmlyc3Q="}}}`; strings.ReplaceAll(strings.TrimSpace(line), " ", "") != want {
		t.Errorf("first line = %s", line)
	}
	cancel() // kills the process
	<-ended
}

func TestJSONThatIsTooLargeIsRefused(t *testing.T) {
	w, s, _ := startWorld(t, Config{})
	w.add(t, "web", v1.PhaseReady)
	status, _ := ask(t, s, "POST", "/v1/sandboxes/by-id/id-of-web/exec", `{"command": ["`+strings.Repeat("x", 17<<20)+`"]}`)
	if status != 400 && status != 413 {
		t.Errorf("status %d", status)
	}
}

func TestJSONNeedsAClientCertificate(t *testing.T) {
	s, ca, _ := startTLS(t)
	if code, _, err := get(t, "https://"+s.Addr().String()+"/v1/health", ca.config(t)); err == nil {
		t.Errorf("GET /v1/health = %d without a certificate", code)
	}
	if code, body, err := get(t, "https://"+s.Addr().String()+"/v1/health", ca.config(t, ca.client(t))); code != 200 || !strings.Contains(body, "HEALTHY") {
		t.Errorf("GET /v1/health = %d %q, %v", code, body, err)
	}
}
