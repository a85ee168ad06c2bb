package snapshot

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"go.etcd.io/bbolt"
)

// write puts the database into a file, and its hash after it, as etcd's own
// snapshots have it. When it returns nil, the content is on the disk. The source
// is closed before the disk is waited for, because etcd cannot close the
// database earlier.
func write(ctx context.Context, source Source, path string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return errors.Join(err, source.Close())
	}
	hash := sha256.New()
	_, err = source.WriteTo(io.MultiWriter(until{ctx, file}, hash))
	if err = errors.Join(err, source.Close()); err == nil {
		_, err = file.Write(hash.Sum(nil))
	}
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// until is a writer that ends with a context.
type until struct {
	ctx context.Context
	w   io.Writer
}

func (u until) Write(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.w.Write(p)
}

// lockTime is more than opening a file takes that nobody else has open.
const lockTime = time.Second

// Check reports what is wrong with a snapshot: that it is not what was written,
// or that what was written is no sound database.
func Check(path string) (err error) {
	if err := checkHash(path); err != nil {
		return err
	}
	// bbolt panics on a damaged page.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the database is damaged: %v", r)
		}
	}()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: lockTime})
	if err != nil {
		return fmt.Errorf("the database is damaged: %w", err)
	}
	defer db.Close()
	// Every page is read. bbolt's own check goes further, and does so on a
	// goroutine of its own: a damaged page would end the process.
	return db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(_ []byte, bucket *bbolt.Bucket) error {
			return bucket.ForEach(func(_, _ []byte) error { return nil })
		})
	})
}

func checkHash(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	size := info.Size() - sha256.Size
	if size <= 0 {
		return errors.New("it is cut short")
	}
	hash := sha256.New()
	if _, err := io.CopyN(hash, file, size); err != nil {
		return err
	}
	want, err := io.ReadAll(file)
	if err != nil {
		return err
	}
	if !bytes.Equal(want, hash.Sum(nil)) {
		return errors.New("it is not what was written: its hash is another")
	}
	return nil
}
