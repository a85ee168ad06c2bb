// Package project remembers what a gateway is allocated to: a reload of
// app-gateway resumes from it, and a reset blanks it.
package project

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"openshell.ai/openshell/pkg/durable"
)

const maxConfig = 1 << 20

// Config is the allocation of one epoch.
type Config struct {
	GatewayID    string `json:"gateway_id"`
	Epoch        int64  `json:"epoch"`
	Organization string `json:"organization_id,omitempty"` // empty until it is allocated
	Version      int64  `json:"version"`                   // of the organization's data
}

// Load reads a configuration. ok is false when there is none: the file is absent
// or blank. One that others could have written is refused.
func Load(path string) (c Config, ok bool, err error) {
	// Not through a link: the directory is everybody's.
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return Config{}, false, nil
	}
	if err != nil {
		return Config{}, false, err
	}
	defer file.Close()
	if err := check(file); err != nil {
		return Config{}, false, err
	}
	data, err := io.ReadAll(io.LimitReader(file, maxConfig))
	if err != nil {
		return Config{}, false, fmt.Errorf("%s: %w", path, err)
	}
	if len(strings.TrimSpace(string(data))) == 0 {
		return Config{}, false, nil
	}
	if c, err = decode(data); err != nil {
		return Config{}, false, fmt.Errorf("%s: %w", path, err)
	}
	return c, true, nil
}

func check(file *os.File) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 || !ok || int(stat.Uid) != os.Geteuid() {
		return fmt.Errorf("%s: is %s, want a file of mode 0600 of this user", file.Name(), info.Mode())
	}
	return nil
}

func decode(data []byte) (Config, error) {
	var c Config
	if err := json.Unmarshal(data, &c); err != nil {
		return Config{}, err
	}
	if c.Epoch <= 0 || c.Version < 0 {
		return Config{}, fmt.Errorf("epoch is %d and version %d, want at least 1 and 0", c.Epoch, c.Version)
	}
	return c, nil
}

// Save replaces the configuration.
func Save(path string, c Config) error {
	data, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return durable.WriteFile(path, append(data, '\n'), 0o600)
}

// Blank removes the configuration.
func Blank(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// NextEpoch counts epochs in a file. They grow even when the file is lost: the
// clock is ahead of any count.
func NextEpoch(path string, now time.Time) (int64, error) {
	next := now.UnixMilli()
	data, err := os.ReadFile(path)
	if err == nil {
		// A damaged count is as good as a lost one.
		if last, parseErr := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64); parseErr == nil && last > 0 && last < next+maxAhead {
			next = max(next, last+1)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	return next, durable.WriteFile(path, strconv.AppendInt(nil, next, 10), 0o600)
}

// maxAhead is how far a clock may have been set back: ten years.
const maxAhead = int64(10 * 365 * 24 * time.Hour / time.Millisecond)
