// Package transfer copies files and directories between this host and a
// sandbox, over SFTP. A file has its final name only when it is whole.
package transfer

import (
	"context"
	"crypto/rand"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

const (
	workers    = 8  // files at once: for small ones the round trips count
	inFlight   = 64 // requests of one upload that wait for their answers
	tempPrefix = ".openshell-part-"
)

// Meter is where a transfer stands. Others may read it while it runs.
type Meter struct {
	Total atomic.Int64 // bytes
	Done  atomic.Int64
	Files atomic.Int64 // that have their final name
}

// Options of a transfer.
type Options struct {
	Meter   *Meter
	Skipped func(path, why string) // what is neither file, directory nor symbolic link
}

// entry is one thing to copy. Its path has slashes and is relative to the
// directory of the final name, whose base it starts with.
type entry struct {
	path string
	info fs.FileInfo
	link string // target of a symbolic link
}

// tree is what a walk found, parents before what they hold.
type tree struct {
	dirs, files, links []entry
}

func (t *tree) bytes() (sum int64) {
	for _, file := range t.files {
		sum += file.info.Size()
	}
	return sum
}

// add sorts an entry in; ok is false for what cannot be copied.
func (t *tree) add(e entry) (ok bool) {
	switch e.info.Mode().Type() {
	case 0:
		t.files = append(t.files, e)
	case fs.ModeDir:
		t.dirs = append(t.dirs, e)
	case fs.ModeSymlink:
		t.links = append(t.links, e)
	default:
		return false
	}
	return true
}

// side is the receiving end of a transfer.
type side interface {
	mkdir(path string) (made bool, err error)
	finish(e entry) error // mode and times of a directory that was made
	file(ctx context.Context, e entry) error
	link(e entry) error
}

// receive makes the tree on the other side: directories, then files, several
// at once, then links, which nothing is written through that way, and at last
// the modes of directories, which may forbid writing.
func (t *tree) receive(ctx context.Context, to side, meter *Meter) error {
	meter.Total.Add(t.bytes())
	var made []entry
	for _, dir := range t.dirs {
		fresh, err := to.mkdir(dir.path)
		if err != nil || ctx.Err() != nil {
			return errorOf(ctx, err)
		}
		if fresh {
			made = append(made, dir)
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(workers)
	for _, file := range t.files {
		group.Go(func() error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			err := to.file(ctx, file)
			if err == nil {
				meter.Files.Add(1)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, link := range t.links {
		if err := to.link(link); err != nil {
			return err
		}
	}
	for _, dir := range slices.Backward(made) {
		if err := to.finish(dir); err != nil {
			return err
		}
	}
	return nil
}

func errorOf(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// tempName is a name in the directory of final that nothing has.
func tempName(final string) string {
	return path.Join(path.Dir(final), tempPrefix+rand.Text())
}

// meteredReader counts what is read, and ends with ctx.
type meteredReader struct {
	ctx   context.Context
	r     io.Reader
	meter *Meter
}

func (m meteredReader) Read(p []byte) (int, error) {
	if m.ctx.Err() != nil {
		return 0, context.Cause(m.ctx)
	}
	n, err := m.r.Read(p)
	m.meter.Done.Add(int64(n))
	return n, err
}

// meteredWriter counts what is written, and ends with ctx.
type meteredWriter struct {
	ctx   context.Context
	w     io.Writer
	meter *Meter
}

func (m meteredWriter) Write(p []byte) (int, error) {
	if m.ctx.Err() != nil {
		return 0, context.Cause(m.ctx)
	}
	n, err := m.w.Write(p)
	m.meter.Done.Add(int64(n))
	return n, err
}

// base is the name that a copy of source gets in a directory; empty when its
// content is meant: ".", "..", "/".
func base(source string) string {
	switch name := path.Base(source); name {
	case ".", "..", "/":
		return ""
	default:
		return strings.TrimSuffix(name, "/")
	}
}
