package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/spf13/cobra"

	"openshell.ai/openshell/internal/cli/render"
	datamodelv1 "openshell.ai/openshell/pkg/api/openshell/datamodel/v1"
	openshellv1 "openshell.ai/openshell/pkg/api/openshell/v1"
	"openshell.ai/openshell/pkg/gatewayclient"
	"openshell.ai/openshell/pkg/sandboxapi"
)

// timeFormat of log lines: UTC, to the millisecond.
const timeFormat = "2006-01-02T15:04:05.000Z"

type sandboxLogsOptions struct {
	sandboxVerb
	follow bool
	tail   int
	since  time.Time
	source string
	level  string
}

func newSandboxLogs(deps *Deps) *cobra.Command {
	o := &sandboxLogsOptions{sandboxVerb: sandboxVerb{deps: deps}, tail: defaultTail}
	cmd := o.command(o.reports(&cobra.Command{
		Use:   "logs NAME [flags]",
		Short: "Print what a sandbox's command and supervisor have said",
		Long: `Print what a sandbox's command and supervisor have said: a line's time, its source
and itself. With -o json every line is a JSON object.`,
		Example: `  openshell sandbox logs box
  openshell sandbox logs box --follow
  openshell sandbox logs box --source command --since 10m`,
	}), o.oneSandbox(o.run))
	flags := cmd.Flags()
	flags.BoolVarP(&o.follow, "follow", "f", false, "go on printing until Ctrl-C")
	linesFlag(flags, &o.tail, "tail", "print this many last lines; 0 for as many as the gateway gives, which is 10000")
	flags.Var(&value[time.Time]{
		flag: "since", kind: "time", accepted: "a duration such as 10m, or a time such as 2026-01-02T15:04:05Z",
		parse: parseSince(deps.Now), set: func(at time.Time) { o.since = at },
	}, "since", "only lines since then: 10m, or a time as RFC 3339 has it")
	sources := []string{sandboxapi.LogCommand, sandboxapi.LogSupervisor}
	wordFlag(flags, &o.source, "source", "source", "command or supervisor", sources, "only lines of this source: command or supervisor")
	levels := []string{"debug", "info", "warn", "error"}
	wordFlag(flags, &o.level, "level", "level", "debug, info, warn or error", levels, "only lines of this level or above; stderr of the command is warn")
	mustRegister(cmd, "source", cobra.FixedCompletions(sources, cobra.ShellCompDirectiveNoFileComp))
	mustRegister(cmd, "level", cobra.FixedCompletions(levels, cobra.ShellCompDirectiveNoFileComp))
	for _, flag := range []string{"tail", "since"} {
		mustRegister(cmd, flag, cobra.NoFileCompletions)
	}
	return cmd
}

func (o *sandboxLogsOptions) run(ctx context.Context, client *gatewayclient.Client, s *datamodelv1.Sandbox) error {
	var sources []string
	if o.source != "" {
		sources = []string{o.source}
	}
	var since int64
	if !o.since.IsZero() {
		since = o.since.UnixMilli()
	}
	lines := uint32(o.tail)
	if o.tail == 0 || o.tail > math.MaxInt32 {
		lines = math.MaxInt32 // the gateway has a limit of its own
	}
	if o.follow {
		err := o.tailAndFollow(ctx, client, &openshellv1.WatchSandboxRequest{
			Id: s.GetId(), FollowLogs: true, LogTailLines: lines, LogSinceMs: since, LogSources: sources, LogMinLevel: o.level,
		})
		if errors.Is(context.Cause(ctx), errInterrupted) {
			return nil // Ctrl-C is how following ends
		}
		return err
	}
	answer, err := client.GetSandboxLogs(ctx, &openshellv1.GetSandboxLogsRequest{
		SandboxId: s.GetId(), Lines: lines, SinceMs: since, Sources: sources, MinLevel: o.level,
	})
	if err != nil {
		return err
	}
	for _, line := range answer.GetLogs() {
		if err := o.print(line); err != nil {
			return err
		}
	}
	return nil
}

func (o *sandboxLogsOptions) tailAndFollow(ctx context.Context, client *gatewayclient.Client, request *openshellv1.WatchSandboxRequest) error {
	stream, err := client.WatchSandbox(ctx, request)
	if err != nil {
		return err
	}
	for {
		event, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if line := event.GetLog(); line != nil {
			err = o.print(line)
		}
		if w := event.GetWarning(); w != nil {
			fmt.Fprintln(o.deps.Err, "warning:", render.Printable(w.GetMessage()))
		}
		if err != nil {
			return err
		}
	}
}

// logDocument is a line of a log in -o json.
type logDocument struct {
	Time    time.Time         `json:"time"`
	Source  string            `json:"source"`
	Level   string            `json:"level"`
	Message string            `json:"message"`
	Fields  map[string]string `json:"fields,omitempty"`
}

func (o *sandboxLogsOptions) print(line *openshellv1.SandboxLogLine) error {
	at := time.UnixMilli(line.GetTimestampMs()).UTC()
	if o.output.json() {
		enc := json.NewEncoder(o.deps.Out)
		enc.SetEscapeHTML(false)
		return enc.Encode(logDocument{at, line.GetSource(), line.GetLevel(), line.GetMessage(), line.GetFields()})
	}
	message := strings.TrimRight(line.GetMessage(), "\r\n")
	if o.deps.OutTTY {
		message = render.Printable(ansi.Strip(message)) // what was meant for another terminal
	}
	_, err := fmt.Fprintf(o.deps.Out, "%s %-10s %s\n", at.Format(timeFormat), line.GetSource(), message)
	return err
}
