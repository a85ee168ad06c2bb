package bootstrap

import (
	"context"
	"fmt"
	"time"

	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/nodeapi"
)

// offerSnapshots adds to a verdict that the state cannot be read what there is
// to go back to. It is no failure of its own if that cannot be learnt.
func (r *run) offerSnapshots(ctx context.Context, e *fault.Error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	o := Observed{Name: r.plan.Name, Container: &docker.Container{ID: r.container, State: docker.StateRunning}}
	all, err := r.restorable(ctx, o)
	if err != nil {
		r.out.warn("whether there are snapshots could not be learnt: " + err.Error())
		return
	}
	have := ofKind(all, nodeapi.SnapshotPrefix)
	if len(have) == 0 {
		return
	}
	count := fmt.Sprintf("there are %d snapshots of it, the newest", len(have))
	if len(have) == 1 {
		count = "there is a snapshot of it,"
	}
	e.Message += fmt.Sprintf("; %s as of %s", count, AsOf(have[0].At, time.Now()))
	last := e.Hints[max(0, len(e.Hints)-1):]
	e.Hints = append([]string{fmt.Sprintf("go back to it, with the files of the sandboxes as they are now: `%s`", restoreCommand(r.plan.Name, have[0].Name))}, last...)
}

// ofKind are those with a name that begins in that way, in the same order.
func ofKind(all []nodeapi.Aside, prefix string) []nodeapi.Aside {
	out := []nodeapi.Aside{}
	for _, a := range all {
		if kind, _, ok := nodeapi.ParseState(a.Name); ok && kind == prefix {
			out = append(out, a)
		}
	}
	return out
}

// newestSnapshot is its name; "" when there is no snapshot.
func newestSnapshot(all []nodeapi.Aside) string {
	if have := ofKind(all, nodeapi.SnapshotPrefix); len(have) > 0 {
		return have[0].Name
	}
	return ""
}

// AsOf says when something was, and how long ago: "14:03, 41 minutes ago". The
// day is told when it is another one.
func AsOf(at, now time.Time) string {
	at = at.In(now.Location())
	clock := at.Format("15:04")
	if at.Format(time.DateOnly) != now.Format(time.DateOnly) {
		clock = at.Format("2006-01-02 15:04")
	}
	age := now.Sub(at)
	switch {
	case age < 0:
		return clock + ", by a clock ahead of this one"
	case age < time.Minute:
		return clock + ", just now"
	case age < 2*time.Hour:
		return clock + ", " + plural(int(age/time.Minute), "minute") + " ago"
	case age < 48*time.Hour:
		return clock + ", " + plural(int(age/time.Hour), "hour") + " ago"
	}
	return clock + ", " + plural(int(age/(24*time.Hour)), "day") + " ago"
}

func plural(n int, unit string) string {
	if n == 1 {
		return "1 " + unit
	}
	return fmt.Sprintf("%d %ss", n, unit)
}
