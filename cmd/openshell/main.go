// Openshell runs gateways for sandboxes; see package cli.
package main

import (
	"os"

	"openshell.ai/openshell/internal/cli"
)

func main() { os.Exit(cli.Main()) }
