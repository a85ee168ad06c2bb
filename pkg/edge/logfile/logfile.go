// Package logfile keeps a log file within a size: it is appended to and never
// truncated; a full one is renamed, and the oldest goes.
package logfile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
)

// maxLine is how much of a line is kept together.
const maxLine = 64 << 10

// File is a log that is rotated.
type File struct {
	Path    string
	MaxSize int64 // of each file
	Keep    int   // full files, Path.1 the newest

	file *os.File
	size int64
}

// Copy appends what it reads, line by line, until the reader ends. What cannot
// be written is lost rather than keeping the writer waiting, and reported at the end.
func (f *File) Copy(r io.Reader) error {
	defer f.close()
	lines, failed := bufio.NewReaderSize(r, maxLine), error(nil)
	for {
		line, err := lines.ReadSlice('\n')
		if len(line) > 0 {
			if err := f.write(line); err != nil {
				failed = err
				f.close()
			}
		}
		switch {
		case err == nil, errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF):
			return failed
		default:
			return errors.Join(failed, err)
		}
	}
}

func (f *File) write(line []byte) error {
	if f.file != nil && f.size > 0 && f.size+int64(len(line)) > f.MaxSize {
		f.close()
		if err := f.rotate(); err != nil {
			return err
		}
	}
	if f.file == nil {
		if err := f.open(); err != nil {
			return err
		}
	}
	n, err := f.file.Write(line)
	f.size += int64(n)
	return err
}

func (f *File) open() error {
	file, err := os.OpenFile(f.Path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return err
	}
	f.file, f.size = file, info.Size()
	return nil
}

func (f *File) rotate() error {
	for n := f.Keep; n > 0; n-- {
		if err := os.Rename(f.numbered(n-1), f.numbered(n)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (f *File) numbered(n int) string {
	if n == 0 {
		return f.Path
	}
	return fmt.Sprintf("%s.%d", f.Path, n)
}

func (f *File) close() {
	if f.file != nil {
		f.file.Close()
		f.file = nil
	}
}
