package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/term"

	"openshell.ai/openshell/pkg/bootstrap"
)

// rawTerminal hands the terminal to a command in the node: keys are passed on
// as they are, and sizes carries the present size and every later one until
// ctx ends. restore gives the terminal back; it may be called more than once.
func rawTerminal(ctx context.Context, in io.Reader, out io.Writer) (restore func(), sizes <-chan bootstrap.TermSize, err error) {
	keys, isFile := in.(*os.File)
	screen, isFileToo := out.(*os.File)
	if !isFile || !isFileToo {
		return nil, nil, errors.New("terminal: the streams are no files")
	}
	before, err := term.MakeRaw(int(keys.Fd()))
	if err != nil {
		return nil, nil, fmt.Errorf("terminal: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	restore = sync.OnceFunc(func() {
		cancel()
		_ = term.Restore(int(keys.Fd()), before) // nothing is left to do if this fails
	})
	feed := make(chan bootstrap.TermSize, 1)
	go func() {
		defer close(feed)
		changed, stop := resized()
		defer stop()
		for {
			if width, height, err := term.GetSize(int(screen.Fd())); err == nil {
				select {
				case feed <- bootstrap.TermSize{Width: uint(width), Height: uint(height)}:
				case <-ctx.Done():
					return
				}
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}()
	return restore, feed, nil
}
