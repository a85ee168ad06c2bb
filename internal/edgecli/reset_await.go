package edgecli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"openshell.ai/openshell/pkg/edge"
	"openshell.ai/openshell/pkg/edge/process"
)

const (
	pingLimit = time.Second
	maxPing   = 64 << 10
)

// awaited is the app that has to answer.
type awaited struct {
	url     string
	pidFile string
	program string // the file it must run; "" any
	after   string // the record of one that does not count
	once    bool   // an app that ends is not waited for again
}

func newResetAwaitApp() *cobra.Command {
	var (
		timeout time.Duration
		app     awaited
	)
	cmd := &cobra.Command{
		Use:   "await-app",
		Short: "Wait until app-gateway answers",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if app.program != "" {
				program, err := filepath.EvalSymlinks(app.program)
				if err != nil {
					return fmt.Errorf("--program: %w", err)
				}
				app.program = program
			}
			ctx, cancel := context.WithTimeoutCause(cmd.Context(), timeout, fmt.Errorf("app-gateway did not answer within %s", timeout))
			defer cancel()
			return app.await(ctx)
		},
	}
	app.url = "http://" + edge.AppAddress + "/collab/ping"
	flags := cmd.Flags()
	flags.DurationVar(&timeout, "timeout", 30*time.Second, "how long to wait")
	flags.StringVar(&app.pidFile, "pid-file", filepath.Join(edge.RunDir, "app.pid"), "where its pid is recorded")
	flags.StringVar(&app.program, "program", "", "the file that it must run")
	flags.StringVar(&app.after, "after", "", "record of an app before it, which does not count")
	flags.BoolVar(&app.once, "once", false, "fail when it ends instead")
	return cmd
}

func (a awaited) await(ctx context.Context) error {
	before, _ := process.Parse(a.after)
	var seen process.Process
	for {
		now, err := process.Read(a.pidFile)
		if err == nil && now != before {
			alive := now.Runs()
			if a.once && (!alive || seen != (process.Process{}) && now != seen) {
				return fmt.Errorf("app-gateway ended before it answered: see %s", edge.LogFile)
			}
			seen = now
			if alive && (a.program == "" || now.Program() == a.program) && ping(ctx, a.url) == nil {
				return nil
			}
		}
		if err := pause(ctx, resetPoll); err != nil {
			return err
		}
	}
}

// ping asks once: the answer is an object, whatever is in it.
func ping(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, pingLimit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("ping: %s", response.Status)
	}
	var object map[string]any
	return json.NewDecoder(io.LimitReader(response.Body, maxPing)).Decode(&object)
}
