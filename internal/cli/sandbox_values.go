package cli

import (
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/pflag"

	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/sandboxapi"
)

const maxSandboxName = 253

var sandboxName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$`)

// checkSandboxName refuses what the gateway would, before anything is done.
func checkSandboxName(name string) error {
	if len(name) <= maxSandboxName && sandboxName.MatchString(name) {
		return nil
	}
	return fault.New(fault.BadName, fault.ExitUsage,
		"sandbox name %q is not valid: use 1 to %d lower-case letters, digits, dashes or dots, with a letter or digit at both ends and beside every dot", name, maxSandboxName)
}

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// envFlag collects NAME=VALUE, or NAME for the value it has here.
func envFlag(flags *pflag.FlagSet, target map[string]string, getenv func(string) string, usage string) {
	flags.Var(&value[[2]string]{
		flag: "env", kind: "variable", accepted: "NAME=VALUE, or the NAME of a variable that is set here",
		parse: func(s string) ([2]string, bool) { return parseEnv(s, getenv) },
		set:   func(pair [2]string) { target[pair[0]] = pair[1] },
	}, "env", usage)
}

func parseEnv(s string, getenv func(string) string) (pair [2]string, ok bool) {
	name, text, given := strings.Cut(s, "=")
	if !envName.MatchString(name) || strings.ContainsRune(text, 0) {
		return pair, false
	}
	if !given {
		text = getenv(name)
		return [2]string{name, text}, text != ""
	}
	return [2]string{name, text}, true
}

// copySpec is LOCAL[:REMOTE] of --upload.
type copySpec struct{ local, remote string }

func uploadFlag(flags *pflag.FlagSet, target *[]copySpec, usage string) {
	flags.Var(&value[copySpec]{
		flag: "upload", kind: "local[:remote]", accepted: "LOCAL or LOCAL:REMOTE", parse: func(s string) (copySpec, bool) { return parseUpload(s, runtime.GOOS == "windows") },
		set: func(spec copySpec) { *target = append(*target, spec) },
	}, "upload", usage)
}

// driveLetter begins a path of Windows, whose colon separates nothing.
var driveLetter = regexp.MustCompile(`^[A-Za-z]:[\\/]`)

func parseUpload(s string, drives bool) (copySpec, bool) {
	from := 0
	if drives && driveLetter.MatchString(s) {
		from = 2
	}
	local, remote := s, ""
	if colon := strings.IndexByte(s[from:], ':'); colon >= 0 {
		local, remote = s[:from+colon], s[from+colon+1:]
		if remote == "" {
			return copySpec{}, false
		}
	}
	return copySpec{local, remotePath(remote)}, local != "" && !strings.ContainsRune(s, 0)
}

// remotePath is an absolute path in a sandbox; a relative one is meant from the
// workspace, where every process starts.
func remotePath(p string) string {
	switch {
	case strings.HasPrefix(p, "/"):
		return p
	case p == "" || p == "." || p == "~":
		return sandboxapi.Workspace
	}
	return sandboxapi.Workspace + "/" + strings.TrimPrefix(strings.TrimPrefix(p, "~/"), "./")
}

// forwardSpec is [LOCAL:]PORT of a port forward.
type forwardSpec struct{ local, port int }

func forwardFlag(flags *pflag.FlagSet, target *[]forwardSpec, usage string) {
	flags.Var(&value[forwardSpec]{
		flag: "forward", kind: "[local:]port", accepted: forwardForm, parse: parseForward,
		set: func(spec forwardSpec) { *target = append(*target, spec) },
	}, "forward", usage)
}

const forwardForm = "a port from 1 to 65535, or two as LOCAL:PORT"

func parseForward(s string) (spec forwardSpec, ok bool) {
	local, port, both := strings.Cut(s, ":")
	if !both {
		port = local
	}
	var okLocal, okPort bool
	spec.local, okLocal = parsePort(1)(local)
	spec.port, okPort = parsePort(1)(port)
	return spec, okLocal && okPort
}

// quantityFlag stores an amount in the way Kubernetes writes it.
func quantityFlag(flags *pflag.FlagSet, target *string, name, kind, accepted string, parse func(string) (string, bool), usage string) {
	flags.Var(&value[string]{flag: name, kind: kind, accepted: accepted, parse: parse, set: func(s string) { *target = s }}, name, usage)
}

// maxMilliCPU is more cores than a machine has.
const maxMilliCPU = 4096 * 1000

// parseCPU takes 2, 0.5 and 500m.
func parseCPU(s string) (string, bool) {
	milli := 0
	if digits, ok := strings.CutSuffix(s, "m"); ok {
		n, err := strconv.Atoi(digits)
		if err != nil || digits != strconv.Itoa(n) {
			return "", false
		}
		milli = n
	} else {
		if !decimal.MatchString(s) {
			return "", false
		}
		cores, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return "", false
		}
		milli = int(cores*1000 + 0.5)
	}
	return strconv.Itoa(milli) + "m", milli >= 1 && milli <= maxMilliCPU
}

// leastSandboxMemory is what the supervisor needs.
const leastSandboxMemory = 32 * units.MiB

func parseSandboxMemory(s string) (string, bool) {
	if strings.HasPrefix(s, "-") {
		return "", false
	}
	size, err := units.RAMInBytes(s)
	return binarySize(size), err == nil && size >= leastSandboxMemory
}

// binarySize is a size as Kubernetes writes it, and in the largest unit that
// tells it exactly.
func binarySize(size int64) string {
	unit := ""
	for _, larger := range []string{"Ki", "Mi", "Gi", "Ti"} {
		if size%1024 != 0 || size == 0 {
			break
		}
		size, unit = size/1024, larger
	}
	return strconv.FormatInt(size, 10) + unit
}

// Words of --restart.
const (
	restartAlways = "always"
	restartNo     = "no"
)

func wordFlag(flags *pflag.FlagSet, target *string, name, kind, accepted string, words []string, usage string) {
	flags.Var(&value[string]{
		flag: name, kind: kind, accepted: accepted, shown: *target,
		parse: func(s string) (string, bool) {
			for _, word := range words {
				if s == word {
					return s, true
				}
			}
			return "", false
		},
		set: func(s string) { *target = s },
	}, name, usage)
}

// parseSince takes a duration before now, or a moment.
func parseSince(now func() time.Time) func(string) (time.Time, bool) {
	return func(s string) (time.Time, bool) {
		if d, err := time.ParseDuration(s); err == nil {
			return now().Add(-d), d >= 0
		}
		at, err := time.Parse(time.RFC3339, s)
		return at, err == nil
	}
}
