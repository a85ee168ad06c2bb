//go:build e2e || soak

package e2e

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

var onlyPoints = flag.String("crash", "", "play the points whose \"operation: point: mode\" matches this expression, instead of the sample or all")

// crashSeed decides which points are in the sample.
const crashSeed = 487

// crashSample is how many points of an operation are in the sample; one, if it
// is not here.
var crashSample = map[string]int{"resume": 2, "other settings": 2, "sandbox create": 2}

// Whatever happens at whichever effect of an operation, a plain start brings
// the gateway back with all it held, and nothing else is left.
func TestPitfall05CrashAnywhere(t *testing.T) {
	t.Parallel()
	g := newGateway(t, "crash")
	s := &crashScene{g: g, rig: newCrashRig(t, g)}
	known, recorded := readPoints(t), pointsOf{}
	var table strings.Builder
	ops, total := operations(), 0
	random := rand.New(rand.NewPCG(crashSeed, 0))
	play := func(op crashOp) {
		plays, began := choose(op.name, recorded[op.name], random), time.Now()
		for _, p := range plays {
			t.Run(fmt.Sprintf("%s/%s/%s", op.name, strings.ReplaceAll(p.point, "/", "|"), p.mode), func(t *testing.T) { s.play(t, op, p) })
		}
		fmt.Fprintf(&table, "%-24s %3d points; %3d plays in %5.1f s\n", op.name, len(recorded[op.name]), len(plays), time.Since(began).Seconds())
	}
	for i, op := range ops {
		ok := t.Run(op.name, func(t *testing.T) { recorded[op.name] = s.record(t, op) })
		total += len(recorded[op.name])
		switch {
		case !ok && i == 0:
			t.Fatal("there is no gateway to play with")
		case !ok: // what happens when something happens would be no news
		case i == 0:
			s.settle(t)
		default:
			play(op)
		}
	}
	play(ops[0]) // now there is nothing to lose any more
	t.Logf("%d points\n%s", total, &table)
	known.compare(t, recorded)
}

// record runs an operation to which nothing happens.
func (s *crashScene) record(t *testing.T, op crashOp) (points []string) {
	t.Helper()
	op.prepare(s, t, "")
	r, points := s.rig.play(t, "", "", op.args(s, t)...)
	t.Logf("%s\n%s", r.Exits(t, 0), strings.Join(points, "\n"))
	op.after(s, t, r)
	return points
}

// play runs an operation to which something happens.
func (s *crashScene) play(t *testing.T, op crashOp, p crashPlay) {
	t.Helper()
	began := time.Now()
	op.prepare(s, t, p.point)
	args := op.args(s, t)
	ready := time.Now()
	r, _ := s.rig.play(t, p.point, p.mode, args...)
	t.Logf("prepared in %s; %s", ready.Sub(began).Round(time.Millisecond), r)
	op.after(s, t, r)
}

// crashPlay is a point and what happens there.
type crashPlay struct {
	point string
	mode  crashMode
}

// choose picks what is played of an operation.
func choose(op string, points []string, random *rand.Rand) []crashPlay {
	var all []crashPlay
	for _, point := range points {
		for _, mode := range modes(point) {
			all = append(all, crashPlay{point, mode})
		}
	}
	sample := slices.Clone(all)
	random.Shuffle(len(sample), func(i, j int) { sample[i], sample[j] = sample[j], sample[i] })
	sample = sample[:min(len(sample), max(1, crashSample[op]))]
	switch {
	case *onlyPoints != "":
		wanted := regexp.MustCompile(*onlyPoints)
		return slices.DeleteFunc(all, func(p crashPlay) bool {
			return !wanted.MatchString(fmt.Sprintf("%s: %s: %s", op, p.point, p.mode))
		})
	case everyPoint:
		return all
	}
	return sample
}
