//go:build e2e || soak

package e2e

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

var updatePoints = flag.Bool("update-crash-points", false, "write "+pointsFile+" anew")

const pointsFile = "testdata/crash-points.txt"

// pointsOf are the points of operations, in the order of their first run.
type pointsOf map[string][]string

// readPoints reads what is checked in: a line for an operation, one for each of
// its points, indented.
func readPoints(t *testing.T) pointsOf {
	t.Helper()
	text, err := os.ReadFile(pointsFile)
	if err != nil && !*updatePoints {
		t.Fatal(err)
	}
	points, op := pointsOf{}, ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		if point, indented := strings.CutPrefix(line, "  "); indented {
			points[op] = append(points[op], point)
		} else {
			op = line
		}
	}
	return points
}

// compare ends the test if an operation has other points than are checked in.
// Their number may only grow: what is missing is an effect that nobody watches
// any more.
func (known pointsOf) compare(t *testing.T, recorded pointsOf) {
	t.Helper()
	if *updatePoints {
		known.update(t, recorded)
		return
	}
	for op, points := range recorded {
		for _, point := range known[op] {
			if !slices.Contains(points, point) {
				t.Errorf("%s: the point %q is gone", op, point)
			}
		}
		for _, point := range points {
			if !slices.Contains(known[op], point) {
				t.Errorf("%s: the point %q is new: add it, with -update-crash-points", op, point)
			}
		}
	}
}

func (known pointsOf) update(t *testing.T, recorded pointsOf) {
	t.Helper()
	var b strings.Builder
	for _, op := range operationNames() {
		points := recorded[op]
		if points == nil {
			points = known[op]
		}
		fmt.Fprintln(&b, op)
		for _, point := range points {
			fmt.Fprintln(&b, "  "+point)
		}
	}
	if err := os.WriteFile(pointsFile, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}
