package vpn

import (
	"errors"
	"io"
	"io/fs"
	"os"
)

// BoundLog moves what a log has to a second file when it is longer than most,
// and leaves the log itself in place: OpenVPN keeps it open and appends to it.
// A line that is written meanwhile may be lost.
func BoundLog(path string, most int64) error {
	log, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer log.Close()
	if info, err := log.Stat(); err != nil || info.Size() <= most {
		return err
	}
	old, err := os.OpenFile(path+".1", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(old, log)
	return errors.Join(err, old.Close(), log.Truncate(0))
}
