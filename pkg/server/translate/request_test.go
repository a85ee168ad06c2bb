package translate

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/structpb"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	datamodelv1 "openshell.ai/openshell/pkg/api/openshell/datamodel/v1"
	sandboxv1 "openshell.ai/openshell/pkg/api/openshell/sandbox/v1"
	openshellv1 "openshell.ai/openshell/pkg/api/openshell/v1"
	"openshell.ai/openshell/pkg/sandbox"
	v1 "openshell.ai/openshell/pkg/sandbox/v1"
	"openshell.ai/openshell/pkg/sandboxapi"
)

func TestNewSandbox(t *testing.T) {
	local := sandboxapi.LocalImage + strings.Repeat("0a", 32)
	for _, tt := range []struct {
		name    string
		request *openshellv1.CreateSandboxRequest
		want    sandbox.NewSandbox
	}{
		{"nothing asked for", &openshellv1.CreateSandboxRequest{}, sandbox.NewSandbox{
			Spec: v1.SandboxSpec{Image: "default:1"}, Environment: map[string]string{},
		}},
		{
			"everything asked for",
			&openshellv1.CreateSandboxRequest{Name: "web.dev-1", Spec: &datamodelv1.SandboxSpec{
				LogLevel: "debug", Environment: map[string]string{"A": "spec", "B": ""},
				Command: []string{"make", ""}, CommandRestart: datamodelv1.CommandRestart_COMMAND_RESTART_NO,
				Tty: true, Stdin: true, Hold: true, Ephemeral: true,
				Template: &datamodelv1.SandboxTemplate{
					Image: local, Environment: map[string]string{"A": "template", "C": "c"},
					Labels:      map[string]string{"tier": "front", "example.com/Team": ""},
					Annotations: map[string]string{sandboxapi.AnnotationImage: "./my dir", "note": "any text\n"},
					Resources:   object(t, map[string]any{"limits": map[string]any{"cpu": 1.5, "memory": "2Gi"}, "requests": map[string]any{"cpu": "250m"}}),
				},
			}},
			sandbox.NewSandbox{
				Name: "web.dev-1", Annotations: map[string]string{sandboxapi.AnnotationImage: "./my dir"},
				Environment: map[string]string{"A": "spec", "B": "", "C": "c"},
				Spec: v1.SandboxSpec{
					Image: local, LogLevel: "debug", Ephemeral: true,
					Command:     &v1.Command{Argv: []string{"make", ""}, TTY: true, Stdin: true, Hold: true, NoRestart: true},
					Labels:      map[string]string{"tier": "front", "example.com/Team": ""},
					Annotations: map[string]string{sandboxapi.AnnotationImage: "./my dir", "note": "any text\n"},
					Resources: corev1.ResourceRequirements{
						Limits:   corev1.ResourceList{"cpu": resource.MustParse("1500m"), "memory": resource.MustParse("2Gi")},
						Requests: corev1.ResourceList{"cpu": resource.MustParse("250m")},
					},
				},
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := NewSandbox(tt.request, "default:1")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, cmp.Comparer(resource.Quantity.Equal)); diff != "" {
				t.Errorf("NewSandbox() (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNewSandboxRefuses(t *testing.T) {
	const secret = "the-secret-value"
	many := func(n int, s string) []string {
		out := make([]string, n)
		for i := range out {
			out[i] = s
		}
		return out
	}
	for _, tt := range []struct {
		name  string
		edit  func(*openshellv1.CreateSandboxRequest)
		field string
		want  string
	}{
		{"policy", spec(func(s *datamodelv1.SandboxSpec) { s.Policy = &sandboxv1.SandboxPolicy{} }), "spec.policy", "does not support"},
		{"providers", spec(func(s *datamodelv1.SandboxSpec) { s.Providers = []string{"x"} }), "spec.providers", "does not support"},
		{"gpu", spec(func(s *datamodelv1.SandboxSpec) { s.Gpu = true }), "spec.gpu", "does not support"},
		{"runtime class", template(func(s *datamodelv1.SandboxTemplate) { s.RuntimeClassName = "kata" }), "spec.template.runtime_class_name", "does not support"},
		{"agent socket", template(func(s *datamodelv1.SandboxTemplate) { s.AgentSocket = "/x" }), "spec.template.agent_socket", "does not support"},
		{"volume claim templates", template(func(s *datamodelv1.SandboxTemplate) { s.VolumeClaimTemplates = &structpb.Struct{} }), "spec.template.volume_claim_templates", "does not support"},
		{"field of another contract", spec(func(s *datamodelv1.SandboxSpec) {
			s.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 77, protowire.VarintType), 1))
		}), "spec", "field number 77"},
		{"field of another template", template(func(s *datamodelv1.SandboxTemplate) {
			s.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 10, protowire.VarintType), 1))
		}), "spec.template", "field number 10"},

		{"name with capitals", name("Web"), "name", "lower-case"},
		{"name with underscore", name("a_b"), "name", "lower-case"},
		{"name that begins with a dash", name("-a"), "name", "both ends"},
		{"name with an empty part", name("a..b"), "name", "beside every dot"},
		{"name that is too long", name(strings.Repeat("a", 254)), "name", "253"},
		{"name that is a path", name("../../x"), "name", "lower-case"},
		{"log level", spec(func(s *datamodelv1.SandboxSpec) { s.LogLevel = "loud" }), "spec.log_level", "debug, info, warn or error"},

		{"image with capitals", template(func(s *datamodelv1.SandboxTemplate) { s.Image = "Debian" }), "spec.template.image", "image reference"},
		{"image with a space", template(func(s *datamodelv1.SandboxTemplate) { s.Image = "debian 12" }), "spec.template.image", "image reference"},
		{"image that is a bare id", template(func(s *datamodelv1.SandboxTemplate) { s.Image = strings.Repeat("a", 64) }), "spec.template.image", "image reference"},
		{"label key", template(func(s *datamodelv1.SandboxTemplate) { s.Labels = map[string]string{"a b": ""} }), "spec.template.labels", "key"},
		{"label value", template(func(s *datamodelv1.SandboxTemplate) { s.Labels = map[string]string{"a": "b c"} }), "spec.template.labels", "63"},
		{"label of ours", template(func(s *datamodelv1.SandboxTemplate) { s.Labels = map[string]string{sandboxapi.LabelID: "x"} }), "spec.template.labels", "belongs to the gateway"},
		{"annotation key", template(func(s *datamodelv1.SandboxTemplate) { s.Annotations = map[string]string{"/": ""} }), "spec.template.annotations", "key"},
		{"annotation of ours", template(func(s *datamodelv1.SandboxTemplate) { s.Annotations = map[string]string{"sub.openshell.ai/x": ""} }), "spec.template.annotations", "belongs to the gateway"},
		{"annotations too long", template(func(s *datamodelv1.SandboxTemplate) {
			s.Annotations = map[string]string{"a": strings.Repeat("x", 256<<10)}
		}), "spec.template.annotations", "256"},

		{"variable without a name", env("", "x"), "spec.environment", "name of a variable"},
		{"variable with =", env("A=B", "x"), "spec.environment", "name of a variable"},
		{"variable with a digit first", env("1A", "x"), "spec.environment", "name of a variable"},
		{"variable with NUL", env("A", secret+"\x00"), "spec.environment", "NUL"},
		{"variable too long", env("A", strings.Repeat(secret, 9000)), "spec.environment", "128 KiB"},
		{"environments too long together", func(r *openshellv1.CreateSandboxRequest) {
			env("A", strings.Repeat("x", 100<<10))(r)
			env("B", strings.Repeat("x", 100<<10))(r)
			r.Spec.Template = &datamodelv1.SandboxTemplate{Environment: map[string]string{"C": strings.Repeat("x", 100<<10)}}
		}, "spec.environment", "256 KiB"},
		{"variable of the template", template(func(s *datamodelv1.SandboxTemplate) { s.Environment = map[string]string{"-": ""} }), "spec.template.environment", "name of a variable"},

		{"program is empty", argv("", "x"), "spec.command", "program"},
		{"argument with NUL", argv("a", "b\x00"), "spec.command", "element 1 contains a NUL"},
		{"argument too long", argv("a", strings.Repeat("x", 32<<10+1)), "spec.command", "32 KiB"},
		{"too many arguments", argv(many(1025, "x")...), "spec.command", "1024"},
		{"command too long", argv(many(5, strings.Repeat("x", 32<<10))...), "spec.command", "120"},
		{"command too long as JSON", argv(strings.Repeat("<", 30<<10)), "spec.command", "as JSON"},
		{"restart of no kind", spec(func(s *datamodelv1.SandboxSpec) { s.Command = []string{"a"}; s.CommandRestart = 9 }), "spec.command_restart", "9"},
		{"terminal without a command", spec(func(s *datamodelv1.SandboxSpec) { s.Tty = true }), "spec.tty", "spec.command is empty"},
		{"ephemeral without a command", spec(func(s *datamodelv1.SandboxSpec) { s.Ephemeral = true }), "spec.ephemeral", "spec.command is empty"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			request := &openshellv1.CreateSandboxRequest{}
			tt.edit(request)
			_, err := NewSandbox(request, "default:1")
			var invalid *Invalid
			if !errors.As(err, &invalid) || invalid.Field != tt.field || !strings.Contains(invalid.Problem, tt.want) {
				t.Fatalf("NewSandbox() error = %v, want one about %s with %q", err, tt.field, tt.want)
			}
			if text := err.Error(); len(text) > 300 || strings.ContainsAny(text, "\x00\n") || strings.Contains(text, secret) {
				t.Errorf("the error shows too much: %.400q", text)
			}
		})
	}
}

func TestImageIsNeededWhereThereIsNone(t *testing.T) {
	_, err := NewSandbox(&openshellv1.CreateSandboxRequest{}, "")
	var invalid *Invalid
	if !errors.As(err, &invalid) || invalid.Field != "spec.template.image" {
		t.Errorf("NewSandbox() error = %v", err)
	}
}

func TestExec(t *testing.T) {
	for _, tt := range []struct {
		name    string
		request *openshellv1.ExecSandboxRequest
		field   string // of the error; empty: none
	}{
		{"all", &openshellv1.ExecSandboxRequest{Command: []string{"a", ""}, Workdir: "/tmp", Environment: map[string]string{"A": "b"}}, ""},
		{"no command", &openshellv1.ExecSandboxRequest{}, "command"},
		{"empty program", &openshellv1.ExecSandboxRequest{Command: []string{""}}, "command"},
		{"as many arguments as there may be", &openshellv1.ExecSandboxRequest{Command: strings.Split(strings.Repeat("x ", 1023)+"x", " ")}, ""},
		{"one more", &openshellv1.ExecSandboxRequest{Command: strings.Split(strings.Repeat("x ", 1024)+"x", " ")}, "command"},
		{"as long as an argument may be", &openshellv1.ExecSandboxRequest{Command: []string{strings.Repeat("x", 32<<10)}}, ""},
		{"one byte more", &openshellv1.ExecSandboxRequest{Command: []string{strings.Repeat("x", 32<<10+1)}}, "command"},
		{"relative directory", &openshellv1.ExecSandboxRequest{Command: []string{"a"}, Workdir: "tmp"}, "workdir"},
		{"directory with NUL", &openshellv1.ExecSandboxRequest{Command: []string{"a"}, Workdir: "/\x00"}, "workdir"},
		{"long directory", &openshellv1.ExecSandboxRequest{Command: []string{"a"}, Workdir: "/" + strings.Repeat("x", 4096)}, "workdir"},
		{"variable", &openshellv1.ExecSandboxRequest{Command: []string{"a"}, Environment: map[string]string{"a b": ""}}, "environment"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Exec(tt.request)
			var invalid *Invalid
			if errors.As(err, &invalid) != (tt.field != "") || tt.field != "" && invalid.Field != tt.field {
				t.Fatalf("Exec() error = %v, want one about %q", err, tt.field)
			}
			want := sandboxapi.Exec{Argv: tt.request.Command, Dir: tt.request.Workdir, Env: tt.request.Environment}
			if diff := cmp.Diff(want, got); err == nil && diff != "" {
				t.Errorf("Exec() (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSmallChecks(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		ok   bool
	}{
		{"id", CheckID("id", "abc123"), true},
		{"empty id", CheckID("id", ""), false},
		{"id that is a selector", CheckID("id", "a,b=c"), false},
		{"no level", CheckLogLevel("l", ""), true},
		{"level", CheckLogLevel("l", "warn"), true},
		{"level of another kind", CheckLogLevel("l", "WARN"), false},
		{"sources", CheckLogSources("s", []string{"command", "supervisor"}), true},
		{"unknown source", CheckLogSources("s", []string{"kernel"}), false},
		{"empty name", CheckName(""), false},
	} {
		if (tt.err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, tt.err)
		}
	}
}

func spec(edit func(*datamodelv1.SandboxSpec)) func(*openshellv1.CreateSandboxRequest) {
	return func(r *openshellv1.CreateSandboxRequest) {
		if r.Spec == nil {
			r.Spec = &datamodelv1.SandboxSpec{}
		}
		edit(r.Spec)
	}
}

func template(edit func(*datamodelv1.SandboxTemplate)) func(*openshellv1.CreateSandboxRequest) {
	return spec(func(s *datamodelv1.SandboxSpec) { s.Template = &datamodelv1.SandboxTemplate{}; edit(s.Template) })
}

func env(name, value string) func(*openshellv1.CreateSandboxRequest) {
	return spec(func(s *datamodelv1.SandboxSpec) {
		merged := map[string]string{name: value}
		maps.Copy(merged, s.Environment)
		s.Environment = merged
	})
}

func argv(args ...string) func(*openshellv1.CreateSandboxRequest) {
	return spec(func(s *datamodelv1.SandboxSpec) { s.Command = args })
}

func name(n string) func(*openshellv1.CreateSandboxRequest) {
	return func(r *openshellv1.CreateSandboxRequest) { r.Name = n }
}

func object(t testing.TB, m map[string]any) *structpb.Struct {
	t.Helper()
	s, err := structpb.NewStruct(m)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
