// Command mkimage assembles the images that the node image carries: archives
// in the OCI image layout with one image of one layer, which containerd
// imports without a registry.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/klauspost/compress/zstd"
)

const usage = `usage:
  mkimage image -name NAME -dir DIR [-arch ARCH] [-rootfs TAR] [-file SOURCE=/TARGET]... [-zstd fastest|best]
                [-user UID] [-env KEY=VALUE]... [-entrypoint PATH | -cmd PATH]
      writes DIR/NAME.tar and prints the image's reference
  mkimage index -dir DIR NAME...
      writes DIR/index.json for the archives DIR/NAME.tar`

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "mkimage:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New(usage)
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	dir := flags.String("dir", "", "directory of the archives")
	switch args[0] {
	case "image":
		s := spec{Arch: runtime.GOARCH}
		flags.StringVar(&s.Name, "name", "", "name of the image")
		flags.StringVar(&s.Arch, "arch", s.Arch, "architecture, as in GOARCH")
		flags.StringVar(&s.Rootfs, "rootfs", "", "tar of a root file system")
		flags.Func("zstd", "compress the layer, at this level", func(v string) error {
			ok, level := zstd.EncoderLevelFromString(v)
			if !ok {
				return fmt.Errorf("level %q is not known", v)
			}
			s.Level = level
			return nil
		})
		flags.StringVar(&s.Run.User, "user", "", "user the image runs as")
		flags.Func("file", "SOURCE=/TARGET, repeatable", func(v string) error {
			f, err := parseFile(v)
			s.Files = append(s.Files, f)
			return err
		})
		flags.Func("env", "KEY=VALUE, repeatable", func(v string) error { return appendTo(&s.Run.Env, v) })
		flags.Func("entrypoint", "program the image runs", func(v string) error { return appendTo(&s.Run.Entrypoint, v) })
		flags.Func("cmd", "default command", func(v string) error { return appendTo(&s.Run.Cmd, v) })
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		if s.Name == "" || *dir == "" || strings.ContainsAny(s.Name, "/:") {
			return errors.New("-name and -dir are needed; a name has no slash and no colon")
		}
		img, err := writeImage(*dir, s)
		if err != nil {
			return fmt.Errorf("image %s: %w", s.Name, err)
		}
		fmt.Println(img.Ref)
		return nil
	case "index":
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		if *dir == "" || flags.NArg() == 0 {
			return errors.New("-dir and at least one name are needed")
		}
		return writeIndex(*dir, flags.Args())
	default:
		return fmt.Errorf("unknown command %q\n%s", args[0], usage)
	}
}

func appendTo(list *[]string, v string) error {
	*list = append(*list, v)
	return nil
}
