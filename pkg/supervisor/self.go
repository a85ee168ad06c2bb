//go:build linux

package supervisor

import (
	"io"
	"net"
	"os"

	"github.com/pkg/sftp"

	"openshell.ai/openshell/pkg/supervisor/proc"
)

// What this program does when the supervisor runs it as the sandbox user: where
// that user's rights decide, not the supervisor's.
const (
	verbSFTP = "sftp" // an SFTP server on stdio
	verbUnix = "unix" // connects stdio with the socket at a path
)

// self starts this program again, even if its file has been replaced.
func self(args ...string) proc.Spec {
	return proc.Spec{Path: "/proc/self/exe", Argv: append([]string{"openshell-sandbox"}, args...)}
}

type stdio struct {
	io.Reader
	io.WriteCloser
}

func serveFiles() error {
	// Paths are those of the working directory. The server's own option for one
	// would make targets of symbolic links absolute.
	server, err := sftp.NewServer(stdio{os.Stdin, os.Stdout})
	if err != nil {
		return err
	}
	return server.Serve()
}

func connectUnix(path string) error {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return err
	}
	defer conn.Close()
	go func() {
		io.Copy(conn, os.Stdin)           //nolint:errcheck // the other direction tells
		conn.(*net.UnixConn).CloseWrite() //nolint:errcheck // see above
	}()
	_, err = io.Copy(os.Stdout, conn)
	return err
}
