package app

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"openshell.ai/openshell/pkg/edge/edgeapi"
	"openshell.ai/openshell/pkg/edge/lifecycle"
	"openshell.ai/openshell/pkg/edge/project"
)

// request is what a client sends through nginx.
func request(a *App, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	a.public().ServeHTTP(w, r)
	return w
}

func TestEvents(t *testing.T) {
	const (
		auth     = "Authorization"
		good     = "Bearer " + goodToken
		from     = "X-Real-IP"
		address  = "172.16.1.1"
		watchdog = `{"type":"watchdog","container":"c1"}`
	)
	for name, c := range map[string]struct {
		status  int
		body    string
		headers []string
	}{
		"watchdog":            {200, watchdog, []string{auth, good, from, address}},
		"service":             {200, `{"type":"map-http-service","container":"c1","host":"web","port":80}`, []string{auth, good, from, address}},
		"mapped address":      {200, watchdog, []string{auth, good, from, "::ffff:172.16.1.1"}},
		"more fields":         {200, `{"type":"watchdog","container":"c1","later":true}`, []string{auth, good, from, address}},
		"wrong address":       {403, watchdog, []string{auth, good, from, "172.16.1.2"}},
		"outside the VPN":     {403, watchdog, []string{auth, good, from, "192.0.2.7"}},
		"no address":          {403, watchdog, []string{auth, good}},
		"two addresses":       {403, watchdog, []string{auth, good, from, address, from, address}},
		"no token":            {401, watchdog, []string{from, address}},
		"wrong token":         {401, watchdog, []string{auth, "Bearer other", from, address}},
		"two tokens":          {401, watchdog, []string{auth, good, auth, good, from, address}},
		"other scheme":        {401, watchdog, []string{auth, "Basic " + goodToken, from, address}},
		"long token":          {401, watchdog, []string{auth, "Bearer " + strings.Repeat("x", maxToken+1), from, address}},
		"other container":     {401, `{"type":"watchdog","container":"c2"}`, []string{auth, good, from, address}},
		"no container":        {400, `{"type":"watchdog"}`, []string{auth, good, from, address}},
		"empty":               {400, ``, []string{auth, good, from, address}},
		"half":                {400, watchdog[:12], []string{auth, good, from, address}},
		"array":               {400, `[]`, []string{auth, good, from, address}},
		"null":                {400, `null`, []string{auth, good, from, address}},
		"two objects":         {400, watchdog + watchdog, []string{auth, good, from, address}},
		"wrong type of field": {400, `{"type":1}`, []string{auth, good, from, address}},
		"other type":          {400, `{"type":"reset","container":"c1"}`, []string{auth, good, from, address}},
		"hostile name":        {400, `{"type":"map-http-service","container":"c1","host":"a;b","port":80}`, []string{auth, good, from, address}},
		"reserved name":       {400, `{"type":"map-http-service","container":"c1","host":"collab","port":80}`, []string{auth, good, from, address}},
		"no port":             {400, `{"type":"map-http-service","container":"c1","host":"web"}`, []string{auth, good, from, address}},
		"large port":          {400, `{"type":"map-http-service","container":"c1","host":"web","port":70000}`, []string{auth, good, from, address}},
		"large body":          {413, `{"type":"` + strings.Repeat("x", maxBody) + `"}`, []string{auth, good, from, address}},
	} {
		t.Run(name, func(t *testing.T) {
			a := newPlace(t).app()
			a.readContainers()
			w := request(a, http.MethodPost, edgeapi.EventPath, c.body, c.headers...)
			if w.Code != c.status {
				t.Errorf("status %d, want %d: %s", w.Code, c.status, w.Body)
			}
			live := 0
			for _, route := range a.table.Routes() {
				if route.State == edgeapi.RouteLive {
					live++
				}
			}
			if (live > 0) != (c.status == 200) {
				t.Errorf("%d live routes after status %d", live, c.status)
			}
			if body := w.Body.String(); c.status != 200 && !strings.HasPrefix(body, `{"error":"`) || strings.Contains(body, goodToken) {
				t.Errorf("body is %s", body)
			}
		})
	}
}

func TestEventAnswersOwnRoutes(t *testing.T) {
	a := newPlace(t).app()
	w := request(a, http.MethodPost, edgeapi.EventPath, `{"type":"watchdog","container":"c1"}`, "Authorization", "Bearer "+goodToken, "X-Real-IP", "172.16.1.1")
	wanted := `{"status":"ok","routes":[{"host":"jupyter","kind":"container","owner":"lab","ownerId":"c1","ip":"172.16.1.1","port":8888,"state":"live"}]}` + "\n"
	if diff := cmp.Diff(wanted, w.Body.String()); diff != "" {
		t.Error(diff)
	}
}

// A container that was registered since the registry was last read is taken at once.
func TestAContainerThatJustCameIsTaken(t *testing.T) {
	a := newPlace(t).app()
	a.table.SetContainers(nil)
	w := request(a, http.MethodPost, edgeapi.EventPath, `{"type":"watchdog","container":"c1"}`, "Authorization", "Bearer "+goodToken, "X-Real-IP", "172.16.1.1")
	if w.Code != http.StatusOK || len(a.table.Routes()) != 1 {
		t.Errorf("status %d, routes %v", w.Code, a.table.Routes())
	}
}

func TestPagesOfOtherOriginsGetNothing(t *testing.T) {
	p := newPlace(t)
	p.config.Origins = []string{"https://app.example"}
	a := p.app()
	for name, c := range map[string]struct {
		method  string
		status  int
		allowed string
		headers []string
	}{
		"no page":             {"GET", 200, "", nil},
		"typed by the user":   {"GET", 200, "", []string{"Sec-Fetch-Site", "none"}},
		"listed":              {"GET", 200, "https://app.example", []string{"Origin", "https://app.example", "Sec-Fetch-Site", "cross-site"}},
		"preflight":           {"OPTIONS", 204, "https://app.example", []string{"Origin", "https://app.example", "Access-Control-Request-Method", "POST"}},
		"other":               {"GET", 403, "", []string{"Origin", "https://evil.example"}},
		"other preflight":     {"OPTIONS", 403, "", []string{"Origin", "https://evil.example", "Access-Control-Request-Method", "POST"}},
		"begins like it":      {"GET", 403, "", []string{"Origin", "https://app.example.evil.example"}},
		"other scheme":        {"GET", 403, "", []string{"Origin", "http://app.example"}},
		"other case":          {"GET", 403, "", []string{"Origin", "https://APP.example"}},
		"null":                {"GET", 403, "", []string{"Origin", "null"}},
		"empty":               {"GET", 403, "", []string{"Origin", ""}},
		"two":                 {"GET", 403, "", []string{"Origin", "https://app.example", "Origin", "https://evil.example"}},
		"a service's page":    {"GET", 403, "", []string{"Origin", "http://web.localhost:7100", "Sec-Fetch-Site", "same-site"}},
		"image on a page":     {"GET", 403, "", []string{"Sec-Fetch-Site", "cross-site"}},
		"image of a service":  {"GET", 403, "", []string{"Sec-Fetch-Site", "same-site"}},
		"form of the gateway": {"GET", 403, "", []string{"Origin", "http://localhost:7100", "Sec-Fetch-Site", "same-origin"}},
	} {
		w := request(a, c.method, edgeapi.PingPath, "", c.headers...)
		if got := w.Header().Get("Access-Control-Allow-Origin"); w.Code != c.status || got != c.allowed {
			t.Errorf("%s: status %d, allowed %q, want %d, %q", name, w.Code, got, c.status, c.allowed)
		}
		if c.status == 403 && strings.Contains(w.Body.String(), "g1") {
			t.Errorf("%s: got %s", name, w.Body)
		}
	}
}

func TestMethodsAndPaths(t *testing.T) {
	a := newPlace(t).app()
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{"GET", edgeapi.PingPath, 200}, {"HEAD", edgeapi.PingPath, 200}, {"POST", edgeapi.PingPath, 405}, {"GET", edgeapi.EventPath, 405},
		{"GET", edgeapi.StartPath, 405}, {"POST", edgeapi.StartPath, 409}, {"GET", "/collab/room", 404}, {"GET", "/", 404},
		{"GET", edgeapi.StatePath, 404}, {"GET", edgeapi.VPNConfigPath, 401},
	} {
		if w := request(a, c.method, c.path, ""); w.Code != c.status {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, w.Code, c.status)
		}
	}
}

func TestVPNConfigNeedsTheToken(t *testing.T) {
	a := newPlace(t).app()
	path := edgeapi.VPNConfigPath + "?container="
	for _, c := range []struct {
		path, token string
		status      int
	}{{path + "c1", goodToken, 200}, {path + "c1", "other", 401}, {path + "c2", goodToken, 401}, {path, goodToken, 400}} {
		if w := request(a, "GET", c.path, "", "Authorization", "Bearer "+c.token); w.Code != c.status {
			t.Errorf("%s with %s: %d, want %d", c.path, c.token, w.Code, c.status)
		}
	}
}

func TestStart(t *testing.T) {
	a := newPlace(t).withPlane().app()
	_, current := a.machine.State()
	good := project.Config{GatewayID: "g1", Epoch: current.Epoch, Organization: "acme"}
	key := lifecycle.Key(startKey)
	post := func(c project.Config, token string) int {
		body := fmt.Sprintf(`{"gateway_id":%q,"epoch":%d,"organization_id":%q}`, c.GatewayID, c.Epoch, c.Organization)
		return request(a, http.MethodPost, edgeapi.StartPath, body, "Authorization", "Bearer "+token).Code
	}
	other, late, none := good, good, good
	other.GatewayID, late.Epoch, none.Organization = "g2", good.Epoch-1, ""
	for _, c := range []struct {
		name   string
		config project.Config
		token  string
		status int
	}{
		{"wrong token", good, "x", 401}, {"token of another gateway", good, key.Token(other), 401}, {"token of an old epoch", good, key.Token(late), 401},
		{"for another gateway", other, key.Token(other), 409}, {"for an old epoch", late, key.Token(late), 409}, {"for nobody", none, key.Token(none), 400},
		{"good", good, key.Token(good), 200}, {"replayed", good, key.Token(good), 409},
	} {
		if got := post(c.config, c.token); got != c.status {
			t.Errorf("%s: %d, want %d", c.name, got, c.status)
		}
	}
	if state, current := a.machine.State(); state != edgeapi.StateActive || current.Organization != "acme" {
		t.Errorf("%s, %+v", state, current)
	}
}

func TestConfigFrom(t *testing.T) {
	for name, c := range map[string]struct {
		env  map[string]string
		fail string
	}{
		"nothing":          {map[string]string{}, ""},
		"stand-alone":      {map[string]string{"GATEWAY_ID": "g", "GANYMEDE_FQDN": "", "ALLOWED_ORIGINS": "[]", "GATEWAY_POD_CIDR": "10.208.0.0/20"}, ""},
		"pooled":           {map[string]string{"GATEWAY_ID": "g", "GANYMEDE_FQDN": "ganymede.example", "GATEWAY_TOKEN_FILE": "/run/t", "GATEWAY_INACTIVITY": "0"}, ""},
		"pooled by URL":    {map[string]string{"GATEWAY_ID": "g", "GANYMEDE_URL": "http://10.0.0.1:8080/", "GATEWAY_TOKEN_FILE": "/run/t"}, ""},
		"no id":            {map[string]string{"GANYMEDE_FQDN": "x", "GATEWAY_TOKEN_FILE": "/t"}, "GATEWAY_ID"},
		"no token":         {map[string]string{"GATEWAY_ID": "g", "GANYMEDE_FQDN": "x"}, "GATEWAY_TOKEN_FILE"},
		"bad URL":          {map[string]string{"GATEWAY_ID": "g", "GANYMEDE_URL": "x", "GATEWAY_TOKEN_FILE": "/t"}, "https://host"},
		"bad origins":      {map[string]string{"ALLOWED_ORIGINS": "https://x"}, "ALLOWED_ORIGINS"},
		"every origin":     {map[string]string{"ALLOWED_ORIGINS": `["*"]`}, "ALLOWED_ORIGINS"},
		"origin with path": {map[string]string{"ALLOWED_ORIGINS": `["https://x/"]`}, "ALLOWED_ORIGINS"},
		"bad duration":     {map[string]string{"GATEWAY_INACTIVITY": "5"}, "GATEWAY_INACTIVITY"},
		"negative":         {map[string]string{"GATEWAY_INACTIVITY": "-5m"}, "GATEWAY_INACTIVITY"},
		"no watchdog":      {map[string]string{"GATEWAY_WATCHDOG": "0s"}, "GATEWAY_WATCHDOG"},
		"bad network":      {map[string]string{"GATEWAY_POD_CIDR": "10.0.0.1"}, "GATEWAY_POD_CIDR"},
	} {
		_, err := ConfigFrom(func(name string) string { return c.env[name] })
		if (err == nil) != (c.fail == "") || err != nil && !strings.Contains(err.Error(), c.fail) {
			t.Errorf("%s: %v, want %q", name, err, c.fail)
		}
	}
	c, err := ConfigFrom(func(name string) string {
		return map[string]string{"GATEWAY_ID": "g", "GANYMEDE_FQDN": "ganymede.example", "GATEWAY_TOKEN_FILE": "/t", "GATEWAY_POD_CIDR": "10.208.0.0/20"}[name]
	})
	if err != nil || c.ControlPlane != "https://ganymede.example" || c.Inactivity != 5*time.Minute || c.Watchdog != 30*time.Second ||
		c.Pods != netip.MustParsePrefix("10.208.0.0/20") {
		t.Errorf("%+v, %v", c, err)
	}
}

func FuzzEvent(f *testing.F) {
	f.Add([]byte(`{"type":"map-http-service","container":"c1","host":"web","port":80}`))
	f.Add([]byte(`{"type":"watchdog","container":"c1"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var event edgeapi.Event
		if decodeBody(body, &event) != nil || checkEvent(event) != nil {
			return
		}
		if event.Container == "" || event.Type == edgeapi.EventMapHTTPService && (event.Port == 0 || strings.ContainsAny(event.Host, " \n;{}/\x00")) {
			t.Errorf("taken: %+v", event)
		}
	})
}

func FuzzOrigins(f *testing.F) {
	f.Add(`["https://example.org"]`)
	f.Fuzz(func(t *testing.T, text string) {
		origins, err := parseOrigins(text)
		if err != nil {
			return
		}
		for _, origin := range origins {
			if !strings.HasPrefix(origin, "http") || strings.Count(origin, "/") != 2 {
				t.Errorf("taken: %q", origin)
			}
		}
	})
}
