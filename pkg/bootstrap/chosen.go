package bootstrap

import (
	"fmt"
	"net/netip"
)

// chosenTaken says that something a plan chose turned out to be taken: by
// another start that looked at the same moment, or by what only the engine can
// see. Start then observes and decides again, without it.
type chosenTaken struct {
	subnet netip.Prefix // of the network; or
	port   int          // for nginx
	err    error
}

func (e *chosenTaken) Error() string {
	if e.port != 0 {
		return fmt.Sprintf("port %d was taken meanwhile", e.port)
	}
	return fmt.Sprintf("network range %s is taken", e.subnet)
}

func (e *chosenTaken) Unwrap() error { return e.err }

// avoidance is what is not to be chosen again.
type avoidance struct {
	ranges []TakenRange
	ports  []int
}

func (a *avoidance) add(taken *chosenTaken) {
	if taken.port != 0 {
		a.ports = append(a.ports, taken.port)
		return
	}
	a.ranges = append(a.ranges, TakenRange{taken.subnet, "something that only the Docker Engine sees"})
}
