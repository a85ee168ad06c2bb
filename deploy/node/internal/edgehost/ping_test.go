package edgehost

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestPingSpeaksWhatNginxSpeaks(t *testing.T) {
	answer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "localhost" || r.URL.Path != "/collab/ping" {
			w.WriteHeader(http.StatusMisdirectedRequest)
		}
	})
	for name, secure := range map[string]bool{"http": false, "https": true} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewUnstartedServer(answer)
			if secure {
				server.StartTLS()
			} else {
				server.Start()
			}
			defer server.Close()
			at := server.Listener.Addr().String()
			for _, asked := range []bool{false, true} {
				err := newPing(at, func() bool { return asked })(t.Context())
				if (err == nil) != (asked == secure) {
					t.Errorf("https %t: %v", asked, err)
				}
			}
		})
	}
	m := NewMonitor(nil)
	if m.tls.Load() {
		t.Error("https before anybody said so")
	}
	m.UseTLS()
	if !m.tls.Load() {
		t.Error("no https")
	}
}
