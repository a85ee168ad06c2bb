package cli

import (
	"maps"
	"slices"

	"github.com/spf13/pflag"

	"openshell.ai/openshell/pkg/usercontainer"
)

// serviceFlag collects NAME:PORT.
func serviceFlag(flags *pflag.FlagSet, target *[]usercontainer.Served, usage string) {
	flags.Var(&value[usercontainer.Served]{
		flag: "service", kind: "name:port", accepted: "NAME:PORT, a name of a-z, 0-9 and - that is not the gateway's own and a port from 1 to 65535",
		parse: func(s string) (usercontainer.Served, bool) {
			served, err := usercontainer.ParseServed(s)
			return served, err == nil
		},
		set: func(s usercontainer.Served) { *target = append(*target, s) },
	}, "service", usage)
}

// publishNone is all that --publish takes: it is there to tell those who look
// for docker's.
const publishNone = "none"

func publishFlag(flags *pflag.FlagSet) {
	flags.Var(&value[string]{
		flag: "publish", kind: "none", shown: publishNone,
		accepted: "none: a container publishes no port of its own, the gateway leads to what --service names",
		parse:    func(s string) (string, bool) { return s, s == publishNone },
		set:      func(string) {},
	}, "publish", "ports of this host that the container publishes: none")
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
