//go:build e2e

package e2e

import (
	"encoding/json"
	"net/http"
	"strconv"
	"testing"
	"time"

	"openshell.ai/openshell/pkg/edge"
	"openshell.ai/openshell/pkg/edge/edgeapi"
)

// How soon the edge of a gateway with a service is back.
func TestEdgeIsBackInTime(t *testing.T) {
	const poll = 50 * time.Millisecond
	g := started(t, "edgetimes")
	g.edgeReady(t)
	page := webSandbox(t, g, "web").expose(t, 8000)
	serves(t, page.URL, "hello from web")
	pingURL := "http://" + g.webAddress(t) + edgeapi.PingPath
	ok := func(address string) bool {
		status, _ := fetch(t, address)
		return status == http.StatusOK
	}

	t.Run("app-gateway is killed", func(t *testing.T) {
		const limit = 4 * time.Second
		done := make(chan struct{})
		watched := make(chan map[string]int)
		go func() {
			seen := map[string]int{}
			tick := time.NewTicker(poll)
			defer tick.Stop()
			for {
				status, body := fetch(t, page.URL)
				if status == http.StatusOK {
					body = ""
				}
				seen[strconv.Itoa(status)+body]++
				select {
				case <-done:
					watched <- seen
					return
				case <-tick.C:
				}
			}
		}()
		killed := g.Sh(t, "read -r pid _ <"+edge.RunDir+"/app.pid; date +%s%N; kill -9 $pid")
		nanoseconds, err := strconv.ParseInt(killed, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		at := time.Unix(0, nanoseconds)
		missed := 0
		for !ok(pingURL) && time.Since(at) < edgeTime {
			missed++
			time.Sleep(poll)
		}
		took := time.Since(at)
		close(done)
		services := <-watched
		t.Logf("app-gateway answers %s after it was killed, %d pings failed; the service meanwhile: %v", took.Round(time.Millisecond), missed, services)
		if missed == 0 {
			t.Error("it was never away")
		}
		if took > limit {
			t.Errorf("it takes %s, more than %s", took, limit)
		}
		if len(services) != 1 || services["200"] == 0 {
			t.Errorf("the service answered %v", services)
		}
	})

	t.Run("reset", func(t *testing.T) {
		const limit = 6 * time.Second
		began := time.Now()
		reset := g.CLI(t, "gateway", "reset", "--yes").Exits(t, 0)
		for (!ok(pingURL) || !ok(page.URL)) && time.Since(began) < edgeTime {
			time.Sleep(poll)
		}
		took := time.Since(began)
		var state struct {
			Result             string
			StartedAt, EndedAt time.Time
		}
		if err := json.Unmarshal([]byte(g.Sh(t, "cat "+edge.ResetFile)), &state); err != nil {
			t.Fatal(err)
		}
		inside := state.EndedAt.Sub(state.StartedAt)
		t.Logf("everything is back %s after the reset began; the command took %s, the reset itself %s",
			took.Round(time.Millisecond), reset.Took.Round(time.Millisecond), inside.Round(time.Millisecond))
		if state.Result != "ok" || inside <= 0 {
			t.Errorf("the reset says %+v", state)
		}
		if took > limit {
			t.Errorf("it takes %s, more than %s", took, limit)
		}
	})
}
