//go:build linux

package supervisor

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"openshell.ai/openshell/pkg/sandboxapi"
)

// Config is what the gateway server says in the pod, and places.
type Config struct {
	ID, Name string
	Listen   string              // host:port
	Command  *sandboxapi.Command // nil: none
	LogLevel slog.Level
	Image    []string // the image's own environment

	Workspace, StateDir        string
	HostKey, Handshake, Secret string // files of the sandbox's Secret; Secret is its environment
	Etc                        string // where passwd and group are
	Grace                      time.Duration
}

// grace is what processes have between SIGTERM and SIGKILL.
const grace = 5 * time.Second

// ParseEnviron reads the supervisor's environment. What is neither its own nor
// Kubernetes' is the image's.
func ParseEnviron(environ []string) (Config, error) {
	cfg := Config{
		Workspace: sandboxapi.Workspace,
		StateDir:  sandboxapi.StateDir,
		HostKey:   sandboxapi.HostKey,
		Handshake: sandboxapi.Handshake,
		Secret:    sandboxapi.Environ,
		Etc:       "/etc",
		Grace:     grace,
		Listen:    fmt.Sprintf(":%d", sandboxapi.SSHPort),
	}
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		var err error
		switch {
		case name == sandboxapi.EnvID:
			cfg.ID = value
		case name == sandboxapi.EnvName:
			cfg.Name = value
		case name == sandboxapi.EnvListen && value != "":
			cfg.Listen = value
		case name == sandboxapi.EnvLogLevel && value != "":
			err = cfg.LogLevel.UnmarshalText([]byte(value))
		case name == sandboxapi.EnvCommand:
			cfg.Command, err = parseCommand(value)
		case strings.HasPrefix(name, "OPENSHELL_"), strings.HasPrefix(name, "KUBERNETES_"):
		default:
			cfg.Image = append(cfg.Image, variable)
		}
		if err != nil {
			return Config{}, fmt.Errorf("%s: %w", name, err)
		}
	}
	if cfg.ID == "" {
		return Config{}, errors.New(sandboxapi.EnvID + " is not set")
	}
	return cfg, nil
}

func parseCommand(value string) (*sandboxapi.Command, error) {
	if value == "" {
		return nil, nil
	}
	var c sandboxapi.Command
	if err := json.Unmarshal([]byte(value), &c); err != nil {
		return nil, errors.New("not a command in JSON") // the error would show it
	}
	if len(c.Argv) == 0 {
		return nil, nil
	}
	return &c, nil
}
