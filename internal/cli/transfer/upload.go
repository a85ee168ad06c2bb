package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/pkg/sftp"
)

// Upload copies the file or directory local to the absolute path to in the
// sandbox: into it if that is a directory or ends in a slash, else under that
// name. It returns the final name.
func Upload(ctx context.Context, remote *sftp.Client, local, to string, opts Options) (final string, err error) {
	final, err = uploadName(remote, local, to)
	if err != nil {
		return "", err
	}
	t, err := walkLocal(local, path.Base(final), opts)
	if err != nil {
		return "", err
	}
	if err := remote.MkdirAll(path.Dir(final)); err != nil {
		return "", remoteError(path.Dir(final), err)
	}
	return final, t.receive(ctx, &remoteSide{remote, local, path.Dir(final), path.Base(final), opts.Meter}, opts.Meter)
}

// UploadStream copies what r has to the absolute path final.
func UploadStream(ctx context.Context, remote *sftp.Client, r io.Reader, final string, opts Options) error {
	if err := remote.MkdirAll(path.Dir(final)); err != nil {
		return remoteError(path.Dir(final), err)
	}
	return writeRemote(remote, final, meteredReader{ctx, r, opts.Meter}, nil)
}

func uploadName(remote *sftp.Client, local, to string) (string, error) {
	info, err := remote.Stat(to)
	isDir := err == nil && info.IsDir()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", remoteError(to, err)
	}
	if isDir || strings.HasSuffix(to, "/") {
		to = path.Join(to, base(filepath.ToSlash(local)))
	}
	if to = path.Clean(to); to == "/" {
		return "", errors.New("the root directory of a sandbox is not to be written")
	}
	return to, nil
}

// walkLocal lists what is at root, which may itself be a symbolic link, under
// the name name.
func walkLocal(root, name string, opts Options) (*tree, error) {
	t := &tree{}
	info, err := os.Stat(root)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		if !t.add(entry{path: name, info: info}) {
			return nil, fmt.Errorf("%s is neither a file nor a directory", root)
		}
		return t, nil
	}
	t.add(entry{path: name, info: info})
	// The slash makes a link that root may be its target.
	err = filepath.WalkDir(root+string(filepath.Separator), func(at string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, at)
		if err != nil || rel == "." {
			return err
		}
		e := entry{path: path.Join(name, filepath.ToSlash(rel))}
		if e.info, err = d.Info(); err != nil {
			return err
		}
		if e.info.Mode().Type() == fs.ModeSymlink {
			if e.link, err = os.Readlink(at); err != nil {
				return err
			}
		}
		if !t.add(e) && opts.Skipped != nil {
			opts.Skipped(at, "it is neither a file, a directory nor a symbolic link")
		}
		return nil
	})
	return t, err
}

// remoteSide receives in the directory dir of a sandbox. The entry name is
// local on this host.
type remoteSide struct {
	client    *sftp.Client
	local     string
	dir, name string
	meter     *Meter
}

func (r *remoteSide) at(p string) string { return path.Join(r.dir, p) }

func (r *remoteSide) source(p string) string {
	return filepath.Join(r.local, filepath.FromSlash(strings.TrimPrefix(p, r.name)))
}

func (r *remoteSide) mkdir(p string) (made bool, err error) {
	if err = r.client.Mkdir(r.at(p)); err == nil {
		return true, nil
	}
	if info, statErr := r.client.Stat(r.at(p)); statErr == nil && info.IsDir() {
		return false, nil
	}
	return false, remoteError(r.at(p), err)
}

func (r *remoteSide) finish(e entry) error {
	if err := setRemote(r.client, r.at(e.path), e.info); err != nil {
		return remoteError(r.at(e.path), err)
	}
	return nil
}

func (r *remoteSide) file(ctx context.Context, e entry) error {
	f, err := os.Open(r.source(e.path))
	if err != nil {
		return err
	}
	defer f.Close()
	return writeRemote(r.client, r.at(e.path), meteredReader{ctx, f, r.meter}, e.info)
}

func (r *remoteSide) link(e entry) error {
	final := r.at(e.path)
	temp := tempName(final)
	if err := r.client.Symlink(e.link, temp); err != nil {
		return remoteError(final, err)
	}
	return publish(r.client, temp, final)
}

// writeRemote makes the file final of what r has. info is nil for a file whose
// mode and time nobody knows.
func writeRemote(client *sftp.Client, final string, r meteredReader, info fs.FileInfo) error {
	temp := tempName(final)
	f, err := client.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return remoteError(final, err)
	}
	_, err = f.ReadFromWithConcurrency(r, inFlight)
	err = errors.Join(err, f.Close())
	if err == nil && info != nil {
		err = setRemote(client, temp, info)
	}
	if err != nil {
		client.Remove(temp)
		return errorOf(r.ctx, remoteError(final, err))
	}
	return publish(client, temp, final)
}

func setRemote(client *sftp.Client, at string, info fs.FileInfo) error {
	return errors.Join(client.Chmod(at, info.Mode().Perm()), client.Chtimes(at, info.ModTime(), info.ModTime()))
}

// publish gives what is whole its final name.
func publish(client *sftp.Client, temp, final string) error {
	if err := client.PosixRename(temp, final); err != nil {
		client.Remove(temp)
		return remoteError(final, err)
	}
	return nil
}

func remoteError(at string, err error) error {
	return fmt.Errorf("%s in the sandbox: %w", at, err)
}
