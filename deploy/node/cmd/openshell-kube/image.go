package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"openshell.ai/openshell/deploy/node/internal/images"
	"openshell.ai/openshell/pkg/nodeapi"
)

// image runs the command "image", see nodeapi.CmdImage.
func image(ctx context.Context, args []string) error {
	importer, err := images.NewImporter()
	if err != nil {
		return err
	}
	defer importer.Close()
	switch {
	case len(args) == 2 && args[0] == "import":
		return importer.Import(ctx, args[1], os.Stdin)
	case len(args) == 1 && args[0] == "list":
		local, err := importer.Local(ctx)
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(local)
	case len(args) > 1 && args[0] == "remove":
		return importer.Remove(ctx, args[1:])
	}
	return fmt.Errorf("usage: openshell-kube image import REF | list | remove REF...")
}

// exitCode tells failures apart for who ran the command.
func exitCode(err error) int {
	switch {
	case errors.Is(err, images.ErrSpace):
		return nodeapi.ExitImageSpace
	case errors.Is(err, images.ErrPlatform):
		return nodeapi.ExitImagePlatform
	case errors.Is(err, images.ErrArchive):
		return nodeapi.ExitImageArchive
	}
	return 1
}
