//go:build !windows

package gatewaytest

import (
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/pkg/sftp"

	"openshell.ai/openshell/pkg/sandboxapi"
)

// files serve the workspace of a sandbox under its usual path, and nothing else.
type files struct{ dir string }

func (f files) handlers() sftp.Handlers {
	return sftp.Handlers{FileGet: f, FilePut: f, FileCmd: f, FileList: f}
}

func (f files) at(p string) (string, error) {
	rest, ok := strings.CutPrefix(path.Clean(p), sandboxapi.Workspace)
	if !ok || rest != "" && rest[0] != '/' {
		if path.Clean(p) == "/" {
			return f.dir, nil
		}
		return "", fs.ErrPermission
	}
	return filepath.Join(f.dir, filepath.FromSlash(rest)), nil
}

func (f files) Fileread(r *sftp.Request) (io.ReaderAt, error) {
	at, err := f.at(r.Filepath)
	if err != nil {
		return nil, err
	}
	return os.Open(at)
}

func (f files) Filewrite(r *sftp.Request) (io.WriterAt, error) {
	at, err := f.at(r.Filepath)
	if err != nil {
		return nil, err
	}
	return os.OpenFile(at, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
}

func (f files) Filecmd(r *sftp.Request) error {
	if r.Method == "Symlink" { // its path is where the link leads
		at, err := f.at(r.Target)
		if err != nil {
			return err
		}
		return os.Symlink(r.Filepath, at)
	}
	at, err := f.at(r.Filepath)
	if err != nil {
		return err
	}
	switch r.Method {
	case "Setstat":
		flags, attributes := r.AttrFlags(), r.Attributes()
		if flags.Permissions {
			err = os.Chmod(at, attributes.FileMode().Perm())
		}
		if flags.Acmodtime && err == nil {
			err = os.Chtimes(at, time.Unix(int64(attributes.Atime), 0), time.Unix(int64(attributes.Mtime), 0))
		}
		return err
	case "Mkdir":
		return os.Mkdir(at, 0o755)
	case "Remove":
		return os.Remove(at)
	}
	return sftp.ErrSSHFxOpUnsupported
}

// PosixRename replaces what has the name.
func (f files) PosixRename(r *sftp.Request) error {
	from, err := f.at(r.Filepath)
	if err != nil {
		return err
	}
	to, err := f.at(r.Target)
	if err != nil {
		return err
	}
	return os.Rename(from, to)
}

func (f files) Filelist(r *sftp.Request) (sftp.ListerAt, error) {
	at, err := f.at(r.Filepath)
	if err != nil {
		return nil, err
	}
	if r.Method == "List" {
		entries, err := os.ReadDir(at)
		if err != nil {
			return nil, err
		}
		var list listing
		for _, entry := range entries {
			info, err := entry.Info()
			if err != nil {
				return nil, err
			}
			list = append(list, info)
		}
		return list, nil
	}
	info, err := os.Stat(at)
	return listing{info}, err
}

// Lstat does not follow links.
func (f files) Lstat(r *sftp.Request) (sftp.ListerAt, error) {
	at, err := f.at(r.Filepath)
	if err != nil {
		return nil, err
	}
	info, err := os.Lstat(at)
	return listing{info}, err
}

// Readlink is where a link leads.
func (f files) Readlink(p string) (string, error) {
	at, err := f.at(p)
	if err != nil {
		return "", err
	}
	return os.Readlink(at)
}

type listing []fs.FileInfo

func (l listing) ListAt(to []fs.FileInfo, offset int64) (int, error) {
	if offset >= int64(len(l)) {
		return 0, io.EOF
	}
	n := copy(to, l[offset:])
	if n < len(to) {
		return n, io.EOF
	}
	return n, nil
}
