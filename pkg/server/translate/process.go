package translate

import (
	"encoding/json"
	"path"
	"regexp"
	"strings"

	datamodelv1 "openshell.ai/openshell/pkg/api/openshell/datamodel/v1"
	openshellv1 "openshell.ai/openshell/pkg/api/openshell/v1"
	"openshell.ai/openshell/pkg/sandboxapi"
)

// Limits of processes. The kernel takes no argument and no variable of more
// than 128 KiB, with its name and the byte that ends it.
const (
	maxArguments   = 1024
	maxArgument    = 32 << 10
	maxEnvironment = 256 << 10 // names and values together
	maxVariable    = 128<<10 - 2
	maxCommand     = 120 << 10 // as JSON: the supervisor gets it in a variable
	maxPath        = 4096
)

// Exec checks a request to run a process. Errors are *Invalid.
func Exec(request *openshellv1.ExecSandboxRequest) (sandboxapi.Exec, error) {
	e := sandboxapi.Exec{Argv: request.GetCommand(), Dir: request.GetWorkdir(), Env: request.GetEnvironment()}
	return e, firstOf(
		func() *Invalid {
			if len(e.Argv) == 0 {
				return invalid("command", "it is empty; the first element is the program")
			}
			return checkArguments("command", e.Argv)
		},
		func() *Invalid {
			if e.Dir == "" {
				return nil
			}
			if !path.IsAbs(e.Dir) || len(e.Dir) >= maxPath || strings.ContainsRune(e.Dir, 0) {
				return invalid("workdir", "%s is not an absolute path such as %s", shown(e.Dir), sandboxapi.Workspace)
			}
			return nil
		},
		func() *Invalid { return checkEnvironment("environment", e.Env) },
	)
}

func checkArguments(field string, argv []string) *Invalid {
	if len(argv) > maxArguments {
		return invalid(field, "%d arguments are more than %d", len(argv), maxArguments)
	}
	for i, arg := range argv {
		switch {
		case i == 0 && arg == "":
			return invalid(field, "the first element is the program, and it is empty")
		case len(arg) > maxArgument:
			return invalid(field, "element %d has %d bytes, more than the %d KiB of an argument", i, len(arg), maxArgument>>10)
		case strings.ContainsRune(arg, 0):
			return invalid(field, "element %d contains a NUL byte", i)
		}
	}
	return nil
}

func checkFitsEnvironment(spec *datamodelv1.SandboxSpec) *Invalid {
	document, err := json.Marshal(spec.GetCommand())
	if err != nil {
		return invalid("spec.command", "it cannot be written as JSON: %v", err)
	}
	if len(document) > maxCommand {
		return invalid("spec.command", "it takes %d KiB as JSON, more than %d; put a script into the sandbox instead", len(document)>>10, maxCommand>>10)
	}
	return nil
}

// environment merges that of the template with that of the spec, which wins.
func environment(spec *datamodelv1.SandboxSpec, template *datamodelv1.SandboxTemplate) (map[string]string, *Invalid) {
	merged := map[string]string{}
	for _, from := range []struct {
		field string
		env   map[string]string
	}{{"spec.template.environment", template.GetEnvironment()}, {"spec.environment", spec.GetEnvironment()}} {
		if err := checkEnvironment(from.field, from.env); err != nil {
			return nil, err
		}
		for name, value := range from.env {
			merged[name] = value
		}
	}
	return merged, checkEnvironment("spec.environment", merged)
}

// checkEnvironment shows names, never values.
func checkEnvironment(field string, env map[string]string) *Invalid {
	form := regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	total := 0
	for _, name := range sorted(env) {
		value := env[name]
		total += len(name) + len(value) + 2
		switch {
		case !form.MatchString(name):
			return invalid(field, "%s is not the name of a variable: letters, digits and underscores, not beginning with a digit", shown(name))
		case strings.ContainsRune(value, 0):
			return invalid(field, "the value of %s contains a NUL byte", shown(name))
		case len(name)+len(value) > maxVariable:
			return invalid(field, "%s has %d KiB, more than the 128 KiB of a variable", shown(name), (len(name)+len(value))>>10)
		}
	}
	if total > maxEnvironment {
		return invalid(field, "%d KiB are more than the %d KiB of an environment", total>>10, maxEnvironment>>10)
	}
	return nil
}
