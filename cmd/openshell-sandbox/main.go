//go:build linux

// Command openshell-sandbox is the first process of a sandbox; see package
// supervisor.
package main

import (
	"os"

	"openshell.ai/openshell/pkg/supervisor"
)

func main() { os.Exit(supervisor.Main(os.Args[1:], os.Stderr)) }
