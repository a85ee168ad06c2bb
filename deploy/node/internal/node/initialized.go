package node

import (
	"fmt"
	"os"
	"time"

	"openshell.ai/openshell/pkg/durable"
	"openshell.ai/openshell/pkg/gateway"
	"openshell.ai/openshell/pkg/nodeapi"
)

// markInitialized notes in gateway.json that the gateway has been healthy. The
// CLI does the same at the end of a first start, but it may be gone by then,
// and without the mark a later start would begin anew from nothing.
func markInitialized(path string, now time.Time) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("initialized mark: %w", err)
	}
	settings, err := gateway.DecodeSettings(data)
	if err != nil {
		return fmt.Errorf("initialized mark: %w", err)
	}
	if settings.Initialized != nil {
		return nil
	}
	at := now.UTC().Truncate(time.Second)
	settings.Initialized = &at
	return durable.WriteFile(path, settings.Encode(), nodeapi.SettingsMode)
}
