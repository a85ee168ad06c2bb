package release

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
)

// unpack extracts an archive into dir, which is empty. A release has files and
// directories below its parts; links, devices and everything else are refused,
// and nothing is written outside of dir.
func unpack(archive io.Reader, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	zip, err := gzip.NewReader(archive)
	if err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	defer zip.Close()
	reader, left := tar.NewReader(zip), int64(MaxUnpacked)
	for entries := 0; ; entries++ {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		switch {
		case err != nil:
			return fmt.Errorf("archive: %w", err)
		case entries == MaxEntries:
			return fmt.Errorf("archive: it has more than %d entries", MaxEntries)
		case header.Size > left:
			return fmt.Errorf("archive: it is larger than %d bytes unpacked", MaxUnpacked)
		}
		left -= header.Size
		if err := unpackEntry(root, header, reader); err != nil {
			return fmt.Errorf("archive: %w", err)
		}
	}
}

func unpackEntry(root *os.Root, header *tar.Header, content io.Reader) error {
	name := strings.TrimSuffix(header.Name, "/")
	first, _, _ := strings.Cut(name, "/")
	if name == "" || path.Clean(name) != name || !slices.Contains(parts, first) || strings.ContainsAny(name, "\\\x00") {
		return fmt.Errorf("entry %q is not a path below one of %s", header.Name, strings.Join(parts, ", "))
	}
	switch header.Typeflag {
	case tar.TypeDir:
		return root.MkdirAll(name, 0o755)
	case tar.TypeReg:
	default:
		return fmt.Errorf("entry %q is neither a file nor a directory", header.Name)
	}
	mode := os.FileMode(0o644)
	if header.Mode&0o100 != 0 {
		mode = 0o755
	}
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	// Two entries of one name are no release.
	file, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := io.Copy(file, content); err != nil {
		return err
	}
	// Whatever the umask says. A release outlives a loss of power.
	return errors.Join(file.Chmod(mode), file.Sync(), file.Close())
}
