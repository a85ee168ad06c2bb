package translate

import (
	"slices"

	"k8s.io/apimachinery/pkg/util/validation"

	datamodelv1 "openshell.ai/openshell/pkg/api/openshell/datamodel/v1"
	openshellv1 "openshell.ai/openshell/pkg/api/openshell/v1"
	"openshell.ai/openshell/pkg/sandbox"
	v1 "openshell.ai/openshell/pkg/sandbox/v1"
	"openshell.ai/openshell/pkg/sandboxapi"
)

// NewSandbox checks a request and answers the sandbox it asks for. An empty
// name stays empty. Errors are *Invalid.
func NewSandbox(request *openshellv1.CreateSandboxRequest, defaultImage string) (sandbox.NewSandbox, error) {
	spec, template := request.GetSpec(), request.GetSpec().GetTemplate()
	if spec == nil {
		spec = &datamodelv1.SandboxSpec{}
	}
	if template == nil {
		template = &datamodelv1.SandboxTemplate{}
	}
	n := sandbox.NewSandbox{Name: request.GetName()}
	n.Spec.LogLevel = spec.GetLogLevel()
	n.Spec.Ephemeral = spec.GetEphemeral()
	n.Spec.Labels, n.Spec.Annotations = template.GetLabels(), template.GetAnnotations()
	if name, ok := template.GetAnnotations()[sandboxapi.AnnotationImage]; ok {
		n.Annotations = map[string]string{sandboxapi.AnnotationImage: name}
	}
	err := firstOf(
		func() *Invalid { return unsupported(spec, template) },
		func() *Invalid {
			if n.Name == "" {
				return nil
			}
			return checkName(n.Name)
		},
		func() *Invalid { return checkLogLevel("spec.log_level", n.Spec.LogLevel) },
		func() *Invalid { return checkMetadata(template) },
		func() (err *Invalid) { n.Spec.Image, err = image(template.GetImage(), defaultImage); return err },
		func() (err *Invalid) { n.Environment, err = environment(spec, template); return err },
		func() (err *Invalid) { n.Spec.Command, err = command(spec); return err },
		func() (err *Invalid) { n.Spec.Resources, err = Resources(template.GetResources()); return err },
	)
	return n, err
}

// unsupported refuses by name what this gateway cannot do: ignoring it would
// hand out a sandbox that is not what was asked for, and perhaps less restricted.
func unsupported(spec *datamodelv1.SandboxSpec, template *datamodelv1.SandboxTemplate) *Invalid {
	for _, field := range []struct {
		name string
		set  bool
	}{
		{"spec.policy", spec.GetPolicy() != nil},
		{"spec.providers", len(spec.GetProviders()) > 0},
		{"spec.gpu", spec.GetGpu()},
		{"spec.template.runtime_class_name", template.GetRuntimeClassName() != ""},
		{"spec.template.agent_socket", template.GetAgentSocket() != ""},
		{"spec.template.volume_claim_templates", template.GetVolumeClaimTemplates() != nil},
	} {
		if field.set {
			return invalid(field.name, "this gateway does not support it; leave it out")
		}
	}
	if err := unknown("spec", spec); err != nil {
		return err
	}
	return unknown("spec.template", template)
}

// CheckName refuses what cannot be the name of a sandbox. Its error is *Invalid.
func CheckName(name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	return nil
}

func checkName(name string) *Invalid {
	if len(validation.IsDNS1123Subdomain(name)) > 0 {
		return invalid("name", "%s is not 1 to %d lower-case letters, digits, dashes or dots, with a letter or digit at both ends and beside every dot",
			shown(name), validation.DNS1123SubdomainMaxLength)
	}
	return nil
}

// CheckID refuses what cannot be the id of a sandbox. Its error is *Invalid.
func CheckID(field, id string) error {
	if len(validation.IsDNS1123Label(id)) > 0 {
		return invalid(field, "%s is not the id of a sandbox, which GetSandbox and ListSandboxes tell", shown(id))
	}
	return nil
}

// CheckLogLevel refuses what is no level. Its error is *Invalid.
func CheckLogLevel(field, level string) error {
	if err := checkLogLevel(field, level); err != nil {
		return err
	}
	return nil
}

func checkLogLevel(field, level string) *Invalid {
	if level != "" && !slices.Contains([]string{"debug", "info", "warn", "error"}, level) {
		return invalid(field, "%s is not debug, info, warn or error", shown(level))
	}
	return nil
}

// CheckLogSources refuses sources that no log line has. Its error is *Invalid.
func CheckLogSources(field string, sources []string) error {
	for _, source := range sources {
		if source != sandboxapi.LogCommand && source != sandboxapi.LogSupervisor {
			return invalid(field, "%s is not %s or %s", shown(source), sandboxapi.LogCommand, sandboxapi.LogSupervisor)
		}
	}
	return nil
}

// command answers nil for a sandbox without one.
func command(spec *datamodelv1.SandboxSpec) (*v1.Command, *Invalid) {
	restart := spec.GetCommandRestart()
	if _, known := datamodelv1.CommandRestart_name[int32(restart)]; !known {
		return nil, invalid("spec.command_restart", "%d is not a CommandRestart", restart)
	}
	if len(spec.GetCommand()) == 0 {
		for _, field := range []struct {
			name string
			set  bool
		}{
			{"spec.command_restart", restart != datamodelv1.CommandRestart_COMMAND_RESTART_UNSPECIFIED},
			{"spec.tty", spec.GetTty()}, {"spec.stdin", spec.GetStdin()},
			{"spec.hold", spec.GetHold()}, {"spec.ephemeral", spec.GetEphemeral()},
		} {
			if field.set {
				return nil, invalid(field.name, "it is about the command, and spec.command is empty")
			}
		}
		return nil, nil
	}
	if err := checkArguments("spec.command", spec.GetCommand()); err != nil {
		return nil, err
	}
	if err := checkFitsEnvironment(spec); err != nil {
		return nil, err
	}
	return &v1.Command{
		Argv: spec.GetCommand(), TTY: spec.GetTty(), Stdin: spec.GetStdin(), Hold: spec.GetHold(),
		NoRestart: restart == datamodelv1.CommandRestart_COMMAND_RESTART_NO,
	}, nil
}
