package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/pkg/sftp"
	"github.com/spf13/cobra"

	"openshell.ai/openshell/internal/cli/render"
	"openshell.ai/openshell/internal/cli/transfer"
	datamodelv1 "openshell.ai/openshell/pkg/api/openshell/datamodel/v1"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gatewayclient"
	"openshell.ai/openshell/pkg/sandboxssh"
)

// stdio stands for stdin or stdout in the place of a file.
const stdio = "-"

// abandonAfter is how long an interrupted transfer may take to clean up.
const abandonAfter = 3 * time.Second

func newSandboxUpload(deps *Deps) *cobra.Command {
	v := &sandboxVerb{deps: deps}
	return v.command(v.reports(&cobra.Command{
		Use:   "upload NAME LOCAL [REMOTE] [flags]",
		Short: "Copy a file or directory into a sandbox",
		Long: `Copy a file or directory into a sandbox, with modes and times; symbolic links stay
links. It goes into REMOTE if that is a directory or ends in a slash, else it gets
that name; relative paths are meant from /sandbox. With - as LOCAL, stdin is the
file.

A file has its final name only when all of it is there.`,
		Example: `  openshell sandbox upload box data.csv
  openshell sandbox upload box ./src work/
  tar -c . | openshell sandbox upload box - backup.tar`,
		ValidArgsFunction: v.completeTransfer(1),
	}), v.transferring(func(ctx context.Context, t transferring, from, to string) (transferred, error) {
		if from == stdio && to == "" {
			return transferred{}, fault.New(fault.Usage, fault.ExitUsage, "stdin needs a name in the sandbox").
				Hint("`openshell sandbox upload %s - REMOTE`", t.sandbox)
		}
		return t.upload(ctx, from, remotePath(to))
	}))
}

func newSandboxDownload(deps *Deps) *cobra.Command {
	v := &sandboxVerb{deps: deps}
	return v.command(v.reports(&cobra.Command{
		Use:   "download NAME REMOTE [LOCAL] [flags]",
		Short: "Copy a file or directory out of a sandbox",
		Long: `Copy a file or directory out of a sandbox, with modes and times; symbolic links
stay links. It goes into LOCAL if that is a directory or ends in a slash, else it
gets that name; the default is the present directory. REMOTE is meant from
/sandbox. With - as LOCAL, the file goes to stdout.

A file has its final name only when all of it is there. Nothing is written
outside of LOCAL, whatever the sandbox answers.`,
		Example: `  openshell sandbox download box results.csv
  openshell sandbox download box work/ ./from-box
  openshell sandbox download box backup.tar - | tar -t`,
		ValidArgsFunction: v.completeTransfer(2),
	}), v.transferring(func(ctx context.Context, t transferring, from, to string) (transferred, error) {
		if to == "" {
			to = "."
		}
		if to == stdio && t.output.json() {
			return transferred{}, fault.New(fault.Usage, fault.ExitUsage, "-o json and a file cannot both go to stdout")
		}
		return t.download(ctx, remotePath(from), to)
	}))
}

// completeTransfer completes the sandbox, and files of this host where one is meant.
func (v *sandboxVerb) completeTransfer(local int) cobra.CompletionFunc {
	names := v.completeSandbox(1)
	return func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		if len(args) == local {
			return nil, cobra.ShellCompDirectiveDefault
		}
		return names(cmd, args, word)
	}
}

// transferred is what a transfer came to.
type transferred struct {
	Sandbox   string `json:"sandbox"`
	Path      string `json:"path"` // the final name
	Files     int64  `json:"files"`
	Bytes     int64  `json:"bytes"`
	ElapsedMS int64  `json:"elapsedMs"`
}

func (v *sandboxVerb) transferring(do func(ctx context.Context, t transferring, from, to string) (transferred, error)) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) == 0:
			return v.nameNeeded(cmd)
		case len(args) == 1 || args[1] == "":
			return usageError(cmd, "`%s` needs what to copy", cmd.CommandPath())
		case len(args) > 3:
			return usageError(cmd, "`%s` takes a sandbox and two paths, not %d arguments", cmd.CommandPath(), len(args))
		}
		from, to := args[1], ""
		if len(args) == 3 {
			to = args[2]
		}
		return v.withSandbox(cmd.Context(), args[0], func(ctx context.Context, client *gatewayclient.Client, s *datamodelv1.Sandbox) error {
			ssh, err := client.Connect(ctx, s)
			if err != nil {
				return err
			}
			defer ssh.Close()
			progress := v.deps.steps(v.output)
			defer progress.Close()
			result, err := do(ctx, transferring{v.deps, v.output, progress, ssh, s.GetName()}, from, to)
			progress.Close()
			if err != nil {
				return err
			}
			if v.output.json() {
				return render.JSON(v.deps.Out, result)
			}
			to := v.deps.Out
			if result.Path == stdio {
				to = v.deps.Err
			}
			_, err = fmt.Fprintln(to, result.sentence(cmd.Name()))
			return err
		})
	}
}

func (t transferred) sentence(verb string) string {
	took := time.Duration(t.ElapsedMS) * time.Millisecond
	files := "1 file"
	if t.Files != 1 {
		files = fmt.Sprintf("%d files", t.Files)
	}
	place := "sandbox " + t.Sandbox + ": " + t.Path
	if verb == "download" {
		place = t.Path
	}
	return fmt.Sprintf("%sed %s, %s to %s (%s%s)", verb, files, units.HumanSize(float64(t.Bytes)), place, render.Seconds(took), speed(t.Bytes, took))
}

// speed is ", 95MB/s", and nothing for what is too short to tell.
func speed(bytes int64, took time.Duration) string {
	if took < 100*time.Millisecond {
		return ""
	}
	return fmt.Sprintf(", %s/s", units.HumanSize(float64(bytes)/took.Seconds()))
}

// transferring copies between this host and one sandbox.
type transferring struct {
	deps     *Deps
	output   output
	progress *steps
	ssh      *sandboxssh.Client
	sandbox  string
}

func (t transferring) upload(ctx context.Context, local, to string) (transferred, error) {
	return t.run(ctx, "upload", local, func(files *sftp.Client, opts transfer.Options) (string, error) {
		if local == stdio {
			opts.Meter.Files.Store(1)
			return to, transfer.UploadStream(ctx, files, t.deps.In, to, opts)
		}
		return transfer.Upload(ctx, files, local, to, opts)
	})
}

func (t transferring) download(ctx context.Context, from, local string) (transferred, error) {
	return t.run(ctx, "download", from, func(files *sftp.Client, opts transfer.Options) (string, error) {
		if local == stdio {
			opts.Meter.Files.Store(1)
			return local, transfer.DownloadStream(ctx, files, from, t.deps.Out, opts)
		}
		return transfer.Download(ctx, files, from, local, opts)
	})
}

func (t transferring) run(ctx context.Context, verb, what string, do func(*sftp.Client, transfer.Options) (string, error)) (transferred, error) {
	files, err := t.ssh.SFTP(ctx)
	if err != nil {
		return transferred{}, lost(t.sandbox, err)
	}
	defer files.Close()
	// An interrupted transfer cleans up over the same connection, unless that
	// hangs.
	defer context.AfterFunc(ctx, func() { time.AfterFunc(abandonAfter, func() { t.ssh.Close() }) })()
	step := verb + " " + path.Base(filepath.ToSlash(what)) // room for the bar
	meter, began := &transfer.Meter{}, time.Now()
	end := t.progress.begin(step, "")
	stop := t.deps.meter(t.progress, t.output, step, func() string {
		return render.Bar(meter.Done.Load(), meter.Total.Load(), time.Since(began))
	})
	final, err := do(files, transfer.Options{
		Meter:   meter,
		Skipped: func(at, why string) { t.progress.warn(fmt.Sprintf("%s is left out: %s", at, why)) },
	})
	stop()
	end(false)
	if err != nil {
		return transferred{}, t.failed(ctx, verb, what, err)
	}
	return transferred{
		Sandbox: t.sandbox, Path: final, Files: meter.Files.Load(), Bytes: meter.Done.Load(), ElapsedMS: time.Since(began).Milliseconds(),
	}, nil
}

func (t transferring) failed(ctx context.Context, verb, what string, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	switch {
	case errors.Is(err, sftp.ErrSSHFxConnectionLost):
		return lost(t.sandbox, err)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return fault.New(fault.TransferFailed, fault.ExitFailure, "%s", plainPath(err))
	}
	return fault.New(fault.TransferFailed, fault.ExitFailure, "the %s of %s failed", verb, what).Because(err)
}

// plainPath is an error about a path without the name of the call that failed.
func plainPath(err error) string {
	if path, ok := err.(*fs.PathError); ok { //nolint:errorlint // what wraps one has more to say
		return fmt.Sprintf("%s: %v", path.Path, path.Err)
	}
	text := strings.ReplaceAll(err.Error(), "file does not exist", "no such file or directory")
	return text
}
