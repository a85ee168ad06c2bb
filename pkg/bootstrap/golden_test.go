package bootstrap

import "flag"

var update = flag.Bool("update", false, "write the golden files and seccomp.json")
