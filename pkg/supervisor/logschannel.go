//go:build linux

package supervisor

import (
	"encoding/json"
	"log/slog"
	"slices"

	"golang.org/x/crypto/ssh"

	"openshell.ai/openshell/pkg/sandboxapi"
	"openshell.ai/openshell/pkg/supervisor/journal"
)

// logsChannel serves a ChannelLogs.
func (s *supervisor) logsChannel(request ssh.NewChannel) {
	var q sandboxapi.LogQuery
	if err := json.Unmarshal(request.ExtraData(), &q); err != nil {
		refuse(request, "not a LogQuery in JSON")
		return
	}
	selected, err := newSelection(q)
	if err != nil {
		refuse(request, err.Error())
		return
	}
	ch, requests, err := request.Accept()
	if err != nil {
		return
	}
	defer ch.Close()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		ssh.DiscardRequests(requests)
	}()
	out := json.NewEncoder(ch)
	lines := &logSource{s: s}
	if s.journal != nil {
		lines.reader = s.journal.Reader()
	}
	var last []sandboxapi.LogLine
	lines.read(func(l sandboxapi.LogLine) bool {
		switch {
		case !selected.has(l):
			return true
		case q.Lines > 0:
			if len(last) == q.Lines {
				last = append(last[:0], last[1:]...)
			}
			last = append(last, l)
			return true
		}
		return out.Encode(l) == nil
	}, !q.Follow)
	for _, l := range last {
		if out.Encode(l) != nil {
			return
		}
	}
	last = nil
	for q.Follow {
		more := lines.more()
		if !lines.read(func(l sandboxapi.LogLine) bool { return !selected.has(l) || out.Encode(l) == nil }, false) {
			return
		}
		select {
		case <-more[0]:
		case <-more[1]:
		case <-gone:
			return
		}
	}
	ch.SendRequest(sandboxapi.RequestComplete, false, nil) //nolint:errcheck // the client is gone
}

// selection is a LogQuery's choice of lines.
type selection struct {
	q     sandboxapi.LogQuery
	level slog.Level
}

func newSelection(q sandboxapi.LogQuery) (selection, error) {
	s := selection{q: q, level: slog.LevelDebug}
	if q.Level != "" {
		if err := s.level.UnmarshalText([]byte(q.Level)); err != nil {
			return selection{}, err
		}
	}
	return s, nil
}

func (s selection) has(l sandboxapi.LogLine) bool {
	var level slog.Level
	return !l.At.Before(s.q.Since) &&
		(len(s.q.Sources) == 0 || slices.Contains(s.q.Sources, l.Source)) &&
		level.UnmarshalText([]byte(l.Level)) == nil && level >= s.level
}

// logSource merges the output of the command and the supervisor's own log.
type logSource struct {
	s       *supervisor
	reader  *journal.Reader // nil: no command
	lines   journal.Lines
	ownNext int
}

// more returns channels one of which is closed when read may have more.
func (l *logSource) more() [2]<-chan struct{} {
	more := [2]<-chan struct{}{l.s.own.wait()}
	if l.reader != nil {
		more[1] = l.reader.More()
	}
	return more
}

// read hands out what there is by time, until emit returns false. A line that
// has not ended is kept back, unless all is asked for.
func (l *logSource) read(emit func(sandboxapi.LogLine) bool, all bool) bool {
	own, ownNext := l.s.own.since(l.ownNext)
	l.ownNext = ownNext
	going := true
	send := func(line sandboxapi.LogLine) { going = going && emit(line) }
	l.lines.Emit = func(line journal.Line) {
		for len(own) > 0 && own[0].At.Before(line.At) {
			send(own[0])
			own = own[1:]
		}
		send(outputLine(line))
	}
	for going && l.reader != nil {
		record, ok := l.reader.Next()
		if !ok {
			break
		}
		l.lines.Add(record)
	}
	if all {
		l.lines.Flush()
	}
	for _, line := range own {
		send(line)
	}
	return going
}

func outputLine(l journal.Line) sandboxapi.LogLine {
	line := sandboxapi.LogLine{At: l.At, Source: sandboxapi.LogCommand, Level: "info", Stream: "stdout", Message: l.Text}
	if l.Stream == journal.Stderr {
		line.Level, line.Stream = "warn", "stderr"
	}
	return line
}
