package cli

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/docker/go-units"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// value is a flag that checks what it is given. Its target stays as it is
// until the flag is used.
type value[T any] struct {
	flag     string
	kind     string // shown in the help
	accepted string // completes "is not …"
	parse    func(string) (T, bool)
	set      func(T)
	shown    string
}

func (v *value[T]) String() string { return v.shown }
func (v *value[T]) Type() string   { return v.kind }

func (v *value[T]) Set(s string) error {
	parsed, ok := v.parse(s)
	if !ok {
		return badValue(v.flag, s, v.accepted)
	}
	v.set(parsed)
	v.shown = s
	return nil
}

// optional stores a given value behind a pointer that is nil otherwise.
func optional[T any](target **T) func(T) {
	return func(parsed T) { *target = &parsed }
}

func portFlag(flags *pflag.FlagSet, target **int, name, usage string) {
	flags.Var(&value[int]{flag: name, kind: "port", accepted: "a port from 1 to 65535", parse: parsePort(1), set: optional(target)}, name, usage)
}

// openPortFlag accepts 0 as well, which stops publishing the port.
func openPortFlag(flags *pflag.FlagSet, target **int, name, usage string) {
	flags.Var(&value[int]{flag: name, kind: "port", accepted: "a port from 1 to 65535, or 0 to publish none", parse: parsePort(0), set: optional(target)}, name, usage)
}

func parsePort(least int) func(string) (int, bool) {
	return func(s string) (int, bool) {
		port, err := strconv.Atoi(s)
		return port, err == nil && port >= least && port <= 65535 && s == strconv.Itoa(port)
	}
}

// switchFlag is on when it is given without a value.
func switchFlag(flags *pflag.FlagSet, target **bool, name, usage string) {
	flags.Var(&value[bool]{flag: name, kind: "bool", accepted: "true or false", parse: parseSwitch, set: optional(target)}, name, usage)
	flags.Lookup(name).NoOptDefVal = "true"
}

func parseSwitch(s string) (bool, bool) { return s == "true", s == "true" || s == "false" }

func addressFlag(flags *pflag.FlagSet, target **string, name, usage string) {
	flags.Var(&value[string]{flag: name, kind: "address", accepted: "an IP address such as 127.0.0.1 or ::1", parse: parseAddress, set: optional(target)}, name, usage)
}

func parseAddress(s string) (string, bool) {
	addr, err := netip.ParseAddr(s)
	if err != nil || addr.Zone() != "" {
		return "", false
	}
	return addr.Unmap().String(), true
}

var dnsName = regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`)

func hostsFlag(flags *pflag.FlagSet, target **[]string, name, usage string) {
	add := func(hosts []string) {
		if *target == nil {
			*target = &[]string{}
		}
		**target = append(**target, hosts...)
	}
	flags.Var(&value[[]string]{flag: name, kind: "host", accepted: "a DNS name or an IP address", parse: parseHosts, set: add}, name, usage)
}

func parseHosts(s string) ([]string, bool) {
	var hosts []string
	for _, host := range strings.Split(s, ",") {
		if addr, ok := parseAddress(host); ok {
			host = addr
		} else if !dnsName.MatchString(host) || len(host) > 253 || looksNumeric(host) {
			return nil, false
		}
		hosts = append(hosts, host)
	}
	return hosts, true
}

// looksNumeric reports a mistyped IPv4 address: no DNS name ends in a number.
func looksNumeric(host string) bool {
	last := host[strings.LastIndexByte(host, '.')+1:]
	_, err := strconv.Atoi(last)
	return err == nil
}

func cpusFlag(flags *pflag.FlagSet, target **float64, name, usage string) {
	flags.Var(&value[float64]{flag: name, kind: "cores", accepted: "a number of cores from 0.1 to 1024 such as 2 or 0.5, or 0 for no limit", parse: parseCPUs, set: optional(target)}, name, usage)
}

var decimal = regexp.MustCompile(`^[0-9]{1,4}(\.[0-9]{1,3})?$`)

func parseCPUs(s string) (float64, bool) {
	if !decimal.MatchString(s) {
		return 0, false
	}
	cpus, err := strconv.ParseFloat(s, 64)
	return cpus, err == nil && (cpus == 0 || cpus >= 0.1 && cpus <= 1024)
}

// leastMemory is what a node needs to boot at all.
const leastMemory = 512 * units.MiB

func memoryFlag(flags *pflag.FlagSet, target **int64, name, usage string) {
	flags.Var(&value[int64]{flag: name, kind: "size", accepted: "a size of at least 512m such as 4g, or 0 for no limit", parse: parseMemory, set: optional(target)}, name, usage)
}

func parseMemory(s string) (int64, bool) {
	if strings.HasPrefix(s, "-") {
		return 0, false
	}
	size, err := units.RAMInBytes(s)
	return size, err == nil && (size == 0 || size >= leastMemory)
}

func durationFlag(flags *pflag.FlagSet, target *time.Duration, name, usage string) {
	flags.Var(&value[time.Duration]{flag: name, kind: "duration", accepted: "a duration of at least 1s such as 90s or 5m", parse: parseDuration, set: func(d time.Duration) { *target = d }}, name, usage)
}

func parseDuration(s string) (time.Duration, bool) {
	d, err := time.ParseDuration(s)
	return d, err == nil && d >= time.Second
}

func imageFlag(flags *pflag.FlagSet, target *string, name, usage string) {
	flags.Var(&value[string]{flag: name, kind: "image", accepted: "an image reference such as openshell/cluster:v1", parse: parseImage, set: func(s string) { *target = s }}, name, usage)
}

func parseImage(s string) (string, bool) {
	_, err := reference.ParseAnyReference(s)
	return s, err == nil
}

func linesFlag(flags *pflag.FlagSet, target *int, name, usage string) {
	flags.Var(&value[int]{flag: name, kind: "lines", accepted: "a number of lines, or 0 for all", parse: parseLines, set: func(n int) { *target = n }, shown: strconv.Itoa(*target)}, name, usage)
}

func parseLines(s string) (int, bool) {
	n, err := strconv.Atoi(s)
	return n, err == nil && n >= 0
}

// output is -o.
type output string

const (
	outputText output = "text"
	outputJSON output = "json"
)

func (o output) json() bool { return o == outputJSON }

func outputFlag(cmd *cobra.Command, target *output) {
	*target = outputText
	cmd.Flags().VarP(&value[output]{
		flag: "output", kind: "format", accepted: "text or json", shown: string(outputText),
		parse: func(s string) (output, bool) { return output(s), s == string(outputText) || s == string(outputJSON) },
		set:   func(o output) { *target = o },
	}, "output", "o", "what to print: text or json")
	mustRegister(cmd, "output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
}
