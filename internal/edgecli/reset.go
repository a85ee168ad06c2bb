package edgecli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"openshell.ai/openshell/pkg/edge"
	"openshell.ai/openshell/pkg/edge/process"
)

const resetPoll = 20 * time.Millisecond

// resetState is what the reset's worker writes of itself.
type resetState struct {
	Phase  string `json:"phase"`
	Result string `json:"result"` // "" while it runs, "ok", "error"
	Error  string `json:"error"`
}

func newReset() *cobra.Command {
	cmd := &cobra.Command{Use: "reset", Short: "Follow a reset"}
	cmd.AddCommand(newResetFollow(), newResetStatus(), newResetAwaitApp())
	return cmd
}

// runDir is where the scripts keep what ends with the container.
func runDir() string {
	if dir := os.Getenv("GATEWAY_RUN"); dir != "" {
		return dir
	}
	return edge.RunDir
}

func newResetStatus() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Print what the last reset does or did",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			line, _, err := readReset(runDir())
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(line)
			return err
		},
	}
}

func newResetFollow() *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "follow",
		Short: "Print a line for each phase of the last reset, until it has ended",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeoutCause(cmd.Context(), timeout, fmt.Errorf("the reset has not ended within %s", timeout))
			defer cancel()
			return followReset(ctx, cmd.OutOrStdout(), runDir())
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", time.Minute, "how long to wait for the end")
	return cmd
}

func followReset(ctx context.Context, out io.Writer, dir string) error {
	var last []byte
	for {
		// The worker ends after it has said how: whether it is alive is asked first.
		worker, err := process.Read(filepath.Join(dir, "reset.pid"))
		dead := err != nil || !worker.Runs()
		line, state, err := readReset(dir)
		if err != nil {
			return err
		}
		if !bytes.Equal(line, last) {
			if _, err := out.Write(line); err != nil {
				return err
			}
			last = line
		}
		switch {
		case state.Result == "ok":
			return nil
		case state.Result != "":
			return errors.New(state.Error)
		case dead:
			return fmt.Errorf("the reset died in phase %s, and has no result", state.Phase)
		}
		if err := pause(ctx, resetPoll); err != nil {
			return err
		}
	}
}

// readReset returns the state as one line, and what is in it.
func readReset(dir string) ([]byte, resetState, error) {
	data, err := os.ReadFile(filepath.Join(dir, filepath.Base(edge.ResetFile)))
	if errors.Is(err, os.ErrNotExist) {
		return nil, resetState{}, errors.New("there was no reset since the gateway started")
	}
	if err != nil {
		return nil, resetState{}, err
	}
	var (
		state resetState
		line  bytes.Buffer
	)
	if err := errors.Join(json.Unmarshal(data, &state), json.Compact(&line, data)); err != nil {
		return nil, resetState{}, fmt.Errorf("state of the reset: %w", err)
	}
	line.WriteByte('\n')
	return line.Bytes(), state, nil
}

// pause waits, unless the context ends before.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
