package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"openshell.ai/openshell/pkg/edge/edgeapi"
)

const (
	beat      = 10 * time.Second // the gateway waits for three
	retry     = 2 * time.Second
	postLimit = 5 * time.Second
	maxAnswer = 256 << 10
)

// reporter tells the gateway that the container is alive, and its services.
type reporter struct {
	pkg     Package
	log     *slog.Logger
	http    *http.Client
	changes chan bool
	said    string // the last problem, so that each is said once
}

func newReporter(p Package, log *slog.Logger) *reporter {
	return &reporter{pkg: p, log: log, said: "nothing yet", changes: make(chan bool, 1), http: &http.Client{
		Timeout: postLimit,
		// The token goes to the gateway, not to a proxy, nor where an answer points. A
		// connection of its own each time: those from before may hang.
		Transport:     &http.Transport{Proxy: nil, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// joined says whether the VPN is there. Only the last word counts.
func (r *reporter) joined(up bool) {
	for {
		select {
		case r.changes <- up:
			return
		case <-r.changes:
		}
	}
}

// run reports until ctx ends. All services are told after each connection and
// each failure: the gateway may be another since.
func (r *reporter) run(ctx context.Context) {
	timer := time.NewTimer(0)
	timer.Stop()
	defer timer.Stop()
	all := true
	for {
		select {
		case <-ctx.Done():
			return
		case up := <-r.changes:
			timer.Stop()
			all = true
			if !up {
				continue
			}
		case <-timer.C:
		}
		next := beat
		if err := r.report(ctx, all); err != nil {
			next = retry
		}
		all = next == retry
		timer.Reset(next)
	}
}

// report sends the events of one beat.
func (r *reporter) report(ctx context.Context, all bool) error {
	events := []edgeapi.Event{{Type: edgeapi.EventWatchdog, Container: r.pkg.ID}}
	if all {
		for _, s := range r.pkg.Services {
			events = append(events, edgeapi.Event{Type: edgeapi.EventMapHTTPService, Container: r.pkg.ID, Host: s.Host, Port: s.Port})
		}
	}
	var routes []edgeapi.Route
	for _, e := range events {
		answer, err := r.post(ctx, e)
		if err != nil {
			r.say("the gateway does not take events: " + err.Error())
			return err
		}
		routes = answer.Routes
	}
	problem := ""
	for _, route := range routes {
		if route.State == edgeapi.RouteConflict {
			problem = fmt.Sprintf("service %s is not reachable: %s", route.Host, route.Message)
		}
	}
	r.say(problem)
	return nil
}

// say logs a problem that was not there before, and its end.
func (r *reporter) say(problem string) {
	if problem == r.said {
		return
	}
	r.said = problem
	if problem == "" {
		r.log.Info("the gateway has this container and all of its services")
	} else {
		r.log.Warn(printable(problem))
	}
}

func (r *reporter) post(ctx context.Context, event edgeapi.Event) (edgeapi.EventAnswer, error) {
	var answer edgeapi.EventAnswer
	body, err := json.Marshal(event)
	if err != nil {
		return answer, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.pkg.Gateway+edgeapi.EventPath, bytes.NewReader(body))
	if err != nil {
		return answer, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+r.pkg.Token)
	response, err := r.http.Do(request)
	if err != nil {
		return answer, err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return answer, err
	}
	if response.StatusCode/100 != 2 {
		var refusal edgeapi.Error
		_ = json.Unmarshal(data, &refusal) // the status says enough
		return answer, fmt.Errorf("%s %.200s", response.Status, refusal.Error)
	}
	if len(data) > 0 {
		if err := json.Unmarshal(data, &answer); err != nil {
			return answer, fmt.Errorf("answer: %w", err)
		}
	}
	return answer, nil
}
