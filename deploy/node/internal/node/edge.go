package node

import (
	"context"
	"time"

	"openshell.ai/openshell/deploy/node/internal/edgehost"
	"openshell.ai/openshell/deploy/node/internal/status"
	"openshell.ai/openshell/pkg/nodeapi"
)

// edgeLatest is when the edge is started even if the gateway's API is not there
// yet.
const edgeLatest = 15 * time.Second

// edgeTurn lets the edge begin when the gateway's API answers, which people wait
// for and which takes all the processors there are, or after edgeLatest.
func edgeTurn(state *status.State, host *edgehost.Host, secrets edgehost.Secrets, booted time.Time) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := reached(ctx, state, nodeapi.Endpoint, time.Until(booted.Add(edgeLatest))); err != nil {
			return err
		}
		if err := host.Prepare(); err != nil {
			return err
		}
		return host.Certificate(ctx, secrets)
	}
}

// reached returns when the milestone was reached or the time is over. An error
// is that of ctx.
func reached(ctx context.Context, state *status.State, milestone nodeapi.Milestone, patience time.Duration) error {
	over := time.NewTimer(patience)
	defer over.Stop()
	for {
		st, changed := state.Snapshot()
		if st.Has(milestone) {
			return ctx.Err()
		}
		select {
		case <-changed:
		case <-over.C:
			return ctx.Err()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// edgeProcess is the edge's process as the supervisor has reported it.
func edgeProcess(state *status.State) func() nodeapi.Component {
	return func() nodeapi.Component {
		st, _ := state.Snapshot()
		for _, c := range st.Components {
			if c.Name == nodeapi.EdgeComponent {
				return c
			}
		}
		return nodeapi.Component{}
	}
}
