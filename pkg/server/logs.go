package server

import (
	"context"
	"maps"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	openshellv1 "openshell.ai/openshell/pkg/api/openshell/v1"
	"openshell.ai/openshell/pkg/sandboxapi"
	"openshell.ai/openshell/pkg/server/translate"
)

// How much of a log one answer holds. Clients take messages of 4 MiB, if they
// were not told otherwise.
const (
	defaultLines = 2000
	maxLines     = 10000
	maxLogBytes  = 3 << 20
)

// GetSandboxLogs answers the last lines that the supervisor holds and the
// filters let through; BufferTotal is the number of those. What a sandbox keeps
// of them while it does not run, it answers when it runs again.
func (a *api) GetSandboxLogs(ctx context.Context, request *openshellv1.GetSandboxLogsRequest) (*openshellv1.GetSandboxLogsResponse, error) {
	q, err := logQuery(request.GetSinceMs(), "sources", request.GetSources(), "min_level", request.GetMinLevel())
	if err != nil {
		return nil, err
	}
	agent, name, err := a.reach(ctx, "sandbox_id", request.GetSandboxId())
	if status.Code(err) == codes.FailedPrecondition {
		return nil, notNow("logs can be read while a sandbox runs: %s", status.Convert(err).Message())
	}
	if err != nil {
		return nil, err
	}
	defer agent.Close()
	kept := tail{lines: int(min(request.GetLines(), maxLines))}
	if kept.lines == 0 {
		kept.lines = defaultLines
	}
	err = agent.Logs(ctx, q, func(line sandboxapi.LogLine) { kept.add(logLine(request.GetSandboxId(), line)) })
	if err != nil {
		a.log.Info("logs cannot be read", "sandbox", name, "error", err)
		return nil, aborted("the logs of sandbox %s cannot be read; try again in a moment", name)
	}
	return &openshellv1.GetSandboxLogsResponse{Logs: kept.last, BufferTotal: uint32(kept.total)}, nil
}

// logQuery checks what a request says of logs. Its errors name the fields.
func logQuery(sinceMs int64, sourcesField string, sources []string, levelField, level string) (sandboxapi.LogQuery, error) {
	q := sandboxapi.LogQuery{Sources: sources, Level: level}
	if sinceMs > 0 {
		q.Since = time.UnixMilli(sinceMs)
	}
	if err := translate.CheckLogSources(sourcesField, sources); err != nil {
		return q, err
	}
	return q, translate.CheckLogLevel(levelField, level)
}

func logLine(id string, line sandboxapi.LogLine) *openshellv1.SandboxLogLine {
	fields := maps.Clone(line.Fields)
	if line.Stream != "" {
		if fields == nil {
			fields = map[string]string{}
		}
		fields["stream"] = line.Stream
	}
	return &openshellv1.SandboxLogLine{
		SandboxId: id, TimestampMs: line.At.UnixMilli(), Level: line.Level, Target: line.Source, Source: line.Source,
		Message: strings.ToValidUTF8(line.Message, "\uFFFD"), Fields: fields,
	}
}

// tail keeps the last of the lines it is given, within bounds.
type tail struct {
	lines int // at most
	last  []*openshellv1.SandboxLogLine
	bytes int
	total int
}

func (t *tail) add(line *openshellv1.SandboxLogLine) {
	t.total++
	t.last = append(t.last, line)
	t.bytes += proto.Size(line)
	for len(t.last) > t.lines || t.bytes > maxLogBytes && len(t.last) > 1 {
		t.bytes -= proto.Size(t.last[0])
		t.last[0] = nil
		t.last = t.last[1:]
	}
}
