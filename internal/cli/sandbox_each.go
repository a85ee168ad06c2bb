package cli

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"openshell.ai/openshell/internal/cli/render"
)

// atOnce is how many sandboxes one command works on at the same time.
const atOnce = 16

// eachSandbox does one thing to several sandboxes at once and reports each. The
// first error, in the order of the names, is the command's; the others are
// written before it.
func (v *sandboxVerb) eachSandbox(ctx context.Context, names []string, step, done string, do func(ctx context.Context, name string, detail func(string)) error) error {
	names = unique(names)
	progress := v.deps.steps(v.output)
	failures := make([]error, len(names))
	group := new(errgroup.Group)
	group.SetLimit(atOnce)
	for i, name := range names {
		group.Go(func() error {
			step := step + " " + name
			end := progress.begin(step, "")
			failures[i] = do(ctx, name, v.deps.quietly(progress, v.output, step))
			end(false)
			return nil
		})
	}
	_ = group.Wait() // the errors are in failures
	progress.Close()
	type result struct {
		Name   string `json:"name"`
		Status string `json:"status"`
	}
	results := []result{} // [] rather than null
	var first error
	for i, name := range names {
		switch err := failures[i]; {
		case err == nil:
			results = append(results, result{name, done})
		case first == nil:
			first = err
		default:
			v.deps.report(v.output, asFault(ctx, err))
		}
	}
	if v.output.json() {
		if err := render.JSON(v.deps.Out, results); err != nil {
			return err
		}
		return first
	}
	for _, r := range results {
		fmt.Fprintf(v.deps.Out, "sandbox %s is %s\n", r.Name, r.Status)
	}
	return first
}

// unique leaves out what was there before.
func unique(words []string) []string {
	var out []string
	for _, word := range words {
		if !slices.Contains(out, word) {
			out = append(out, word)
		}
	}
	return out
}
