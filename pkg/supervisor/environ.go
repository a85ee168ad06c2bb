//go:build linux

package supervisor

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"openshell.ai/openshell/pkg/sandboxapi"
)

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// environment is variables by name.
type environment map[string]string

// readEnvironment reads the user's environment from the Secret. Without the
// file there is none. Its errors never show a value.
func readEnvironment(path string) (environment, error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var e environment
	if err := json.Unmarshal(content, &e); err != nil {
		return nil, errors.New(path + ": not a JSON object of strings")
	}
	return e, nil
}

// base is the environment that every process of the sandbox user begins with.
func base(cfg Config, a account, user environment) environment {
	e := environment{"PATH": defaultPath}
	for _, variable := range cfg.Image {
		if name, value, ok := strings.Cut(variable, "="); ok {
			e.set(name, value)
		}
	}
	maps.Copy(e, environment{"HOME": cfg.Workspace, "USER": a.Name, "LOGNAME": a.Name, "SHELL": a.Shell})
	for name, value := range user {
		e.set(name, value)
	}
	maps.Copy(e, environment{sandboxapi.EnvID: cfg.ID, sandboxapi.EnvName: cfg.Name})
	return e
}

// set leaves out what cannot be in an environment.
func (e environment) set(name, value string) {
	if name != "" && !strings.ContainsAny(name, "=\x00") && !strings.Contains(value, "\x00") {
		e[name] = value
	}
}

// with returns a copy with more variables over it, as a process takes it. The
// terminal may be empty.
func (e environment) with(more environment, terminal string) []string {
	all := maps.Clone(e)
	if terminal != "" {
		all.set("TERM", terminal)
	}
	for name, value := range more {
		all.set(name, value)
	}
	variables := make([]string, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		variables = append(variables, name+"="+all[name])
	}
	return variables
}
