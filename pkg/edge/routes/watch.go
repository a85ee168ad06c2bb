package routes

import (
	"context"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// stamp changes whenever a file is replaced, and nearly always when it is
// written in place.
type stamp struct {
	inode    uint64
	size     int64
	modified time.Time
}

// Stamp is a comparable value that changes with a file.
func Stamp(path string) any { return stampOf(path) }

func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}
	}
	return stamp{inode: inode(info), size: info.Size(), modified: info.ModTime()}
}

func inode(info fs.FileInfo) uint64 {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return stat.Ino
	}
	return 0
}

// Watch calls changed now and after each change of a file, until ctx ends. A
// file that is absent is a file that changes when it comes.
func Watch(ctx context.Context, path string, interval time.Duration, changed func()) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	last := stampOf(path)
	changed()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		// The stamp is taken first: a change during the call is seen next time.
		if now := stampOf(path); now != last {
			last = now
			changed()
		}
	}
}
