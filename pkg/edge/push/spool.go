// Package push brings a gateway's data to its control plane, or keeps it until
// it can.
package push

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"

	"openshell.ai/openshell/pkg/durable"
)

// Document is one push.
type Document struct {
	GatewayID string          `json:"gateway_id"`
	Epoch     int64           `json:"epoch"`
	Version   int64           `json:"version"`
	Data      json.RawMessage `json:"data"`
}

// Spool is a directory of pushes that wait, each as it is sent.
type Spool struct {
	dir string
	mu  sync.Mutex // of numbers
}

var entryName = regexp.MustCompile(`^([0-9]{12})-([0-9]+)-([0-9]+)\.json\.gz$`)

// OpenSpool opens a directory, makes it, and clears what an interrupted write
// left there.
func OpenSpool(dir string) (*Spool, error) {
	if err := os.MkdirAll(filepath.Join(dir, refusedDir), 0o700); err != nil {
		return nil, err
	}
	halves, err := filepath.Glob(filepath.Join(dir, ".new-*"))
	if err != nil {
		return nil, err
	}
	for _, half := range halves {
		err = errors.Join(err, os.Remove(half))
	}
	return &Spool{dir: dir}, err
}

// refusedDir holds what the control plane will never take, for a person to see.
const refusedDir = "refused"

// maxRefused bounds how many of those there are: the newest.
const maxRefused = 20

// Add keeps a document. When it returns nil, the document is on the disk. Each is
// a full snapshot, so that it takes the place of those of its epoch that wait.
func (s *Spool) Add(doc Document) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	waiting, err := s.Entries()
	if err != nil {
		return err
	}
	next := 1
	if len(waiting) > 0 {
		last, err := strconv.Atoi(entryName.FindStringSubmatch(waiting[len(waiting)-1])[1])
		if err != nil {
			return err
		}
		next = last + 1
	}
	temp, err := os.CreateTemp(s.dir, ".new-")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name()) // gone already when all went well
	if err := errors.Join(compress(temp, doc), temp.Sync(), temp.Close()); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	name := fmt.Sprintf("%012d-%d-%d.json.gz", next, doc.Epoch, doc.Version)
	if err := os.Rename(temp.Name(), filepath.Join(s.dir, name)); err != nil {
		return err
	}
	if err := durable.SyncDir(s.dir); err != nil {
		return err
	}
	epoch := strconv.FormatInt(doc.Epoch, 10)
	for _, old := range waiting {
		if entryName.FindStringSubmatch(old)[2] != epoch {
			continue
		}
		_ = os.Remove(filepath.Join(s.dir, old)) // one that stays is sent before the newer one
	}
	return nil
}

func compress(to *os.File, doc Document) error {
	zip, err := gzip.NewWriterLevel(to, gzip.BestSpeed)
	if err != nil {
		return err
	}
	return errors.Join(json.NewEncoder(zip).Encode(doc), zip.Close())
}

// Entries are the names of what waits, oldest first.
func (s *Spool) Entries() ([]string, error) { return entries(s.dir) }

func entries(dir string) ([]string, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	names := []string{}
	for _, file := range files {
		if entryName.MatchString(file.Name()) {
			names = append(names, file.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// open opens an entry for sending.
func (s *Spool) open(name string) (*os.File, int64, error) {
	file, err := os.Open(filepath.Join(s.dir, name))
	if err != nil {
		return nil, 0, err
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return nil, 0, err
	}
	return file, info.Size(), nil
}

// remove forgets an entry that was delivered.
func (s *Spool) remove(name string) error {
	if err := os.Remove(filepath.Join(s.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return durable.SyncDir(s.dir)
}

// setAside keeps an entry out of the way, if no newer one took its place.
func (s *Spool) setAside(name string) error {
	dir := filepath.Join(s.dir, refusedDir)
	err := os.Rename(filepath.Join(s.dir, name), filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	aside, err := entries(dir)
	if err != nil {
		return err
	}
	slices.SortFunc(aside, byAge)
	for _, old := range aside[:max(0, len(aside)-maxRefused)] {
		err = errors.Join(err, os.Remove(filepath.Join(dir, old)))
	}
	return err
}

// byAge goes by epoch and version: numbers begin again when nothing waits.
func byAge(a, b string) int {
	of := func(name string) []int {
		var numbers []int
		for _, digits := range entryName.FindStringSubmatch(name)[1:] {
			n, _ := strconv.Atoi(digits) // what is too large counts as the largest
			numbers = append(numbers, n)
		}
		return []int{numbers[1], numbers[2], numbers[0]}
	}
	return slices.Compare(of(a), of(b))
}
