package cli

import (
	"bufio"
	"context"
	"fmt"
	"strings"
)

// ask puts a question and waits for a line or the end of ctx. Only y and yes
// agree.
func ask(ctx context.Context, s Streams, question string) (agreed bool, err error) {
	fmt.Fprint(s.Err, question)
	answer := make(chan string, 1)
	go func() {
		// An end of input without a line is an empty answer.
		line, _ := bufio.NewReader(s.In).ReadString('\n')
		answer <- line
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(s.Err)
		return false, context.Cause(ctx)
	case line := <-answer:
		switch strings.ToLower(strings.TrimSpace(line)) {
		case "y", "yes":
			return true, nil
		}
		return false, nil
	}
}
