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

// maxDepth bounds what is walked of a sandbox, which may lie without end.
const maxDepth = 256

// Download copies the file or directory at the absolute path from in the
// sandbox to local: into it if that is a directory or ends in a separator, else
// under that name. It returns the final name. Whatever the sandbox answers,
// nothing is written outside.
func Download(ctx context.Context, remote *sftp.Client, from, local string, opts Options) (final string, err error) {
	final, err = downloadName(from, local)
	if err != nil {
		return "", err
	}
	t, err := walkRemote(ctx, remote, from, filepath.Base(final), opts)
	if err != nil {
		return "", errorOf(ctx, err)
	}
	if err := os.MkdirAll(filepath.Dir(final), 0o777); err != nil { // less the umask
		return "", err
	}
	root, err := os.OpenRoot(filepath.Dir(final))
	if err != nil {
		return "", err
	}
	defer root.Close()
	return final, t.receive(ctx, &localSide{remote, from, filepath.Base(final), root, opts.Meter}, opts.Meter)
}

// DownloadStream copies the file at the absolute path from to w.
func DownloadStream(ctx context.Context, remote *sftp.Client, from string, w io.Writer, opts Options) error {
	f, err := remote.Open(from)
	if err != nil {
		return remoteError(from, err)
	}
	defer f.Close()
	if _, err = f.WriteTo(meteredWriter{ctx, w, opts.Meter}); err != nil {
		return errorOf(ctx, remoteError(from, err))
	}
	return nil
}

func downloadName(from, local string) (string, error) {
	info, err := os.Stat(local)
	isDir := err == nil && info.IsDir()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if isDir || os.IsPathSeparator(local[len(local)-1]) {
		local = filepath.Join(local, filepath.FromSlash(base(from)))
	}
	// Made absolute, so that "." has a name in the directory above it.
	final, err := filepath.Abs(local)
	if err == nil && filepath.Dir(final) == final {
		err = fmt.Errorf("%s is not to be written", final)
	}
	return final, err
}

// walkRemote lists what is at root, which may itself be a symbolic link, under
// the name name.
func walkRemote(ctx context.Context, remote *sftp.Client, root, name string, opts Options) (*tree, error) {
	t := &tree{}
	info, err := remote.Stat(root)
	if err != nil {
		return nil, remoteError(root, err)
	}
	if !t.add(entry{path: name, info: info}) {
		return nil, fmt.Errorf("%s in the sandbox is neither a file nor a directory", root)
	}
	for i := 0; i < len(t.dirs); i++ { // grows
		dir := t.dirs[i]
		at := root + strings.TrimPrefix(dir.path, name)
		if strings.Count(dir.path, "/") > maxDepth {
			return nil, fmt.Errorf("%s in the sandbox: more than %d directories deep", at, maxDepth)
		}
		infos, err := remote.ReadDirContext(ctx, at)
		if err != nil {
			return nil, remoteError(at, err)
		}
		for _, info := range infos {
			if !acceptable(info.Name()) {
				return nil, fmt.Errorf("%s in the sandbox holds a file named %q, which is no name of a file", at, info.Name())
			}
			e := entry{path: path.Join(dir.path, info.Name()), info: info}
			if info.Mode().Type() == fs.ModeSymlink {
				if e.link, err = remote.ReadLink(path.Join(at, info.Name())); err != nil {
					return nil, remoteError(path.Join(at, info.Name()), err)
				}
			}
			if !t.add(e) && opts.Skipped != nil {
				opts.Skipped(path.Join(at, info.Name()), "it is neither a file, a directory nor a symbolic link")
			}
		}
	}
	return t, nil
}

// acceptable reports whether name names a file in a directory, on this host.
func acceptable(name string) bool {
	return name != "." && filepath.IsLocal(name) && !strings.ContainsAny(name, "/\x00"+string(filepath.Separator))
}

// localSide receives in root. The entry name is the path from in the sandbox.
type localSide struct {
	client *sftp.Client
	from   string
	name   string
	root   *os.Root
	meter  *Meter
}

func (l *localSide) mkdir(p string) (made bool, err error) {
	if err = l.root.Mkdir(filepath.FromSlash(p), 0o700); err == nil {
		return true, nil
	}
	if info, statErr := l.root.Stat(filepath.FromSlash(p)); statErr == nil && info.IsDir() {
		return false, nil
	}
	return false, err
}

func (l *localSide) finish(e entry) error { return l.set(e.path, e.info) }

func (l *localSide) file(ctx context.Context, e entry) error {
	source := l.from + strings.TrimPrefix(e.path, l.name)
	from, err := l.client.Open(source)
	if err != nil {
		return remoteError(source, err)
	}
	defer from.Close()
	temp := tempName(e.path)
	to, err := l.root.OpenFile(filepath.FromSlash(temp), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = from.WriteTo(meteredWriter{ctx, to, l.meter})
	err = errors.Join(err, to.Close())
	if err == nil {
		err = l.set(temp, e.info)
	}
	if err != nil {
		l.root.Remove(filepath.FromSlash(temp))
		return errorOf(ctx, fmt.Errorf("%s: %w", source, err))
	}
	return l.publish(temp, e.path)
}

func (l *localSide) link(e entry) error {
	temp := tempName(e.path)
	if err := l.root.Symlink(filepath.FromSlash(e.link), filepath.FromSlash(temp)); err != nil {
		return err
	}
	return l.publish(temp, e.path)
}

func (l *localSide) set(p string, info fs.FileInfo) error {
	p = filepath.FromSlash(p)
	return errors.Join(l.root.Chmod(p, info.Mode().Perm()), l.root.Chtimes(p, info.ModTime(), info.ModTime()))
}

// publish gives what is whole its final name.
func (l *localSide) publish(temp, final string) error {
	if err := l.root.Rename(filepath.FromSlash(temp), filepath.FromSlash(final)); err != nil {
		l.root.Remove(filepath.FromSlash(temp))
		return err
	}
	return nil
}
