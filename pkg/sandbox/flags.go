package sandbox

import (
	"flag"
	"fmt"

	"k8s.io/apimachinery/pkg/api/resource"

	"openshell.ai/openshell/pkg/sandboxapi"
)

// AddFlags makes a command line set the configuration, and sets its defaults:
// those of our own node. REST, Master and Endpoint are the caller's.
func (c *Config) AddFlags(fs *flag.FlagSet) {
	c.Namespace = sandboxapi.Namespace
	c.Supervisor = Supervisor{HostPath: sandboxapi.BinaryDir}
	fs.Func("supervisor-source", "`source` of the supervisor's binary: hostPath:/directory or image:reference (default hostPath:"+sandboxapi.BinaryDir+")",
		func(value string) (err error) {
			c.Supervisor, err = ParseSupervisor(value)
			return err
		})
	fs.Func("sandbox-memory", "`limit` of memory of sandboxes that ask for none, such as 4Gi (default the lesser of 4Gi and 80 % of the node's)",
		parse(&c.Memory))
	fs.StringVar(&c.StorageClass, "storage-class", DefaultStorageClass, "`class` of the sandboxes' volume claims")
	fs.Func("storage-size", "`size` of each sandbox's volume claim (default "+DefaultStorageSize+")", parse(&c.StorageSize))
	fs.StringVar(&c.HintListen, "hint-listen", fmt.Sprintf(":%d", sandboxapi.HintPort), "`address` on which supervisors say that they are up; empty: none")
	fs.StringVar(&c.HintAddress, "hint-address", "", "`address` of -hint-listen as sandboxes reach it; empty: they say nothing")
}

func parse(into *resource.Quantity) func(string) error {
	return func(value string) error {
		q, err := resource.ParseQuantity(value)
		if err != nil || q.Sign() <= 0 {
			return fmt.Errorf("%q is not a quantity such as 4Gi", value)
		}
		*into = q
		return nil
	}
}
