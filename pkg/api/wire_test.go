package api_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/reflect/protoreflect"

	datamodelv1 "openshell.ai/openshell/pkg/api/openshell/datamodel/v1"
	openshellv1 "openshell.ai/openshell/pkg/api/openshell/v1"
)

// fields is the contract with existing clients: message, then field=number
// with its type where a client could tell the difference.
const fields = `
openshell.v1.HealthRequest
openshell.v1.HealthResponse status=1:enum version=2:string
openshell.v1.CreateSandboxRequest spec=1:openshell.datamodel.v1.SandboxSpec name=2:string
openshell.v1.GetSandboxRequest name=1:string
openshell.v1.ListSandboxesRequest limit=1:uint32 offset=2:uint32
openshell.v1.ListSandboxesResponse sandboxes=1:[]openshell.datamodel.v1.Sandbox
openshell.v1.DeleteSandboxRequest name=1:string
openshell.v1.DeleteSandboxResponse deleted=1:bool
openshell.v1.StopSandboxRequest name=1:string
openshell.v1.StartSandboxRequest name=1:string
openshell.v1.SandboxResponse sandbox=1:openshell.datamodel.v1.Sandbox
openshell.v1.CreateSshSessionRequest sandbox_id=1:string
openshell.v1.CreateSshSessionResponse sandbox_id=1:string token=2:string gateway_host=3:string gateway_port=4:uint32 gateway_scheme=5:string connect_path=6:string host_key_fingerprint=7:string expires_at_ms=8:int64 host_key=1001:string
openshell.v1.RevokeSshSessionRequest token=1:string
openshell.v1.RevokeSshSessionResponse revoked=1:bool
openshell.v1.ExecSandboxRequest sandbox_id=1:string command=2:[]string workdir=3:string environment=4:map[string]string timeout_seconds=5:uint32 stdin=6:bytes
openshell.v1.ExecSandboxEvent stdout=1:openshell.v1.ExecSandboxStdout/payload stderr=2:openshell.v1.ExecSandboxStderr/payload exit=3:openshell.v1.ExecSandboxExit/payload
openshell.v1.ExecSandboxStdout data=1:bytes
openshell.v1.ExecSandboxStderr data=1:bytes
openshell.v1.ExecSandboxExit exit_code=1:int32
openshell.v1.WatchSandboxRequest id=1:string follow_status=2:bool follow_logs=3:bool follow_events=4:bool log_tail_lines=5:uint32 event_tail=6:uint32 stop_on_terminal=7:bool log_since_ms=8:int64 log_sources=9:[]string log_min_level=10:string
openshell.v1.SandboxStreamEvent sandbox=1:openshell.datamodel.v1.Sandbox/payload log=2:openshell.v1.SandboxLogLine/payload event=3:openshell.v1.PlatformEvent/payload warning=4:openshell.v1.SandboxStreamWarning/payload
openshell.v1.SandboxLogLine sandbox_id=1:string timestamp_ms=2:int64 level=3:string target=4:string message=5:string source=6:string fields=7:map[string]string
openshell.v1.PlatformEvent timestamp_ms=1:int64 source=2:string type=3:string reason=4:string message=5:string metadata=6:map[string]string
openshell.v1.SandboxStreamWarning message=1:string
openshell.v1.GetSandboxLogsRequest sandbox_id=1:string lines=2:uint32 since_ms=3:int64 sources=4:[]string min_level=5:string
openshell.v1.GetSandboxLogsResponse logs=1:[]openshell.v1.SandboxLogLine buffer_total=2:uint32
openshell.v1.Route host=1:string sandbox=2:string sandbox_id=3:string port=4:uint32 created_at_ms=5:int64
openshell.v1.ExposeSandboxPortRequest name=1:string port=2:uint32 host=3:string
openshell.v1.ExposeSandboxPortResponse route=1:openshell.v1.Route created=2:bool
openshell.v1.UnexposeSandboxPortRequest name=1:string port=2:uint32 host=3:string
openshell.v1.UnexposeSandboxPortResponse removed=1:[]openshell.v1.Route
openshell.v1.ListRoutesRequest sandbox=1:string
openshell.v1.ListRoutesResponse routes=1:[]openshell.v1.Route
openshell.datamodel.v1.Sandbox id=1:string name=2:string namespace=3:string spec=4:openshell.datamodel.v1.SandboxSpec status=5:openshell.datamodel.v1.SandboxStatus phase=6:enum created_at_ms=7:int64 current_policy_version=8:uint32
openshell.datamodel.v1.SandboxSpec log_level=1:string environment=5:map[string]string template=6:openshell.datamodel.v1.SandboxTemplate policy=7:openshell.sandbox.v1.SandboxPolicy providers=8:[]string gpu=9:bool command=1001:[]string command_restart=1002:enum tty=1003:bool stdin=1004:bool ephemeral=1005:bool hold=1006:bool
openshell.datamodel.v1.SandboxTemplate image=1:string runtime_class_name=2:string agent_socket=3:string labels=4:map[string]string annotations=5:map[string]string environment=6:map[string]string resources=7:google.protobuf.Struct volume_claim_templates=9:google.protobuf.Struct
openshell.datamodel.v1.SandboxStatus sandbox_name=1:string agent_pod=2:string agent_fd=3:string sandbox_fd=4:string conditions=5:[]openshell.datamodel.v1.SandboxCondition command=1001:openshell.datamodel.v1.CommandStatus ssh_host_key=1002:string ssh_host_key_fingerprint=1003:string stopped=1004:bool
openshell.datamodel.v1.CommandStatus state=1:enum exit_code=2:int32 started_at_ms=3:int64 ended_at_ms=4:int64 runs=5:uint32 message=6:string
openshell.datamodel.v1.SandboxCondition type=1:string status=2:string reason=3:string message=4:string last_transition_time=5:string
`

func TestFieldNumbers(t *testing.T) {
	got := map[string]string{}
	for _, file := range []protoreflect.FileDescriptor{
		openshellv1.File_openshell_v1_openshell_proto, openshellv1.File_openshell_v1_sandbox_proto,
		openshellv1.File_openshell_v1_ssh_proto, openshellv1.File_openshell_v1_exec_proto,
		openshellv1.File_openshell_v1_watch_proto, openshellv1.File_openshell_v1_expose_proto, datamodelv1.File_openshell_datamodel_v1_datamodel_proto,
	} {
		for i := range file.Messages().Len() {
			m := file.Messages().Get(i)
			got[string(m.FullName())] = describe(m)
		}
	}
	want := map[string]string{}
	for _, line := range strings.Split(strings.TrimSpace(fields), "\n") {
		name, rest, _ := strings.Cut(line, " ")
		want[name] = rest
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("messages differ from the contract (-want +got):\n%s", diff)
	}
}

func describe(m protoreflect.MessageDescriptor) string {
	var out []string
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		text := fmt.Sprintf("%s=%d:%s", f.Name(), f.Number(), kind(f))
		if o := f.ContainingOneof(); o != nil {
			text += "/" + string(o.Name())
		}
		out = append(out, text)
	}
	return strings.Join(out, " ")
}

func kind(f protoreflect.FieldDescriptor) string {
	switch {
	case f.IsMap():
		return "map[" + f.MapKey().Kind().String() + "]" + f.MapValue().Kind().String()
	case f.IsList():
		return "[]" + scalar(f)
	}
	return scalar(f)
}

func scalar(f protoreflect.FieldDescriptor) string {
	if f.Kind() == protoreflect.MessageKind {
		return string(f.Message().FullName())
	}
	return f.Kind().String()
}

func TestEnumNumbers(t *testing.T) {
	got := map[string]protoreflect.EnumNumber{}
	for _, enum := range []protoreflect.EnumDescriptor{
		openshellv1.ServiceStatus(0).Descriptor(), datamodelv1.SandboxPhase(0).Descriptor(),
		datamodelv1.CommandRestart(0).Descriptor(), datamodelv1.CommandState(0).Descriptor(),
	} {
		for i := range enum.Values().Len() {
			got[string(enum.Values().Get(i).Name())] = enum.Values().Get(i).Number()
		}
	}
	want := map[string]protoreflect.EnumNumber{
		"SERVICE_STATUS_UNSPECIFIED": 0, "SERVICE_STATUS_HEALTHY": 1, "SERVICE_STATUS_DEGRADED": 2, "SERVICE_STATUS_UNHEALTHY": 3,
		"SANDBOX_PHASE_UNSPECIFIED": 0, "SANDBOX_PHASE_PROVISIONING": 1, "SANDBOX_PHASE_READY": 2,
		"SANDBOX_PHASE_ERROR": 3, "SANDBOX_PHASE_DELETING": 4, "SANDBOX_PHASE_UNKNOWN": 5,
		"SANDBOX_PHASE_STOPPED":       1001,
		"COMMAND_RESTART_UNSPECIFIED": 0, "COMMAND_RESTART_ALWAYS": 1, "COMMAND_RESTART_NO": 2,
		"COMMAND_STATE_UNSPECIFIED": 0, "COMMAND_STATE_WAITING": 1, "COMMAND_STATE_RUNNING": 2,
		"COMMAND_STATE_EXITED": 3, "COMMAND_STATE_INTERRUPTED": 4,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("enums differ from the contract (-want +got):\n%s", diff)
	}
}

func TestMethods(t *testing.T) {
	service := openshellv1.File_openshell_v1_openshell_proto.Services().ByName("OpenShell")
	got := map[string]bool{}
	for i := range service.Methods().Len() {
		m := service.Methods().Get(i)
		got[string(m.Name())] = m.IsStreamingServer()
		if m.IsStreamingClient() {
			t.Errorf("%s streams from the client", m.Name())
		}
	}
	want := map[string]bool{
		"Health": false, "CreateSandbox": false, "GetSandbox": false, "ListSandboxes": false, "DeleteSandbox": false, "StopSandbox": false, "StartSandbox": false,
		"CreateSshSession": false, "RevokeSshSession": false, "ExecSandbox": true, "WatchSandbox": true, "GetSandboxLogs": false,
		"ExposeSandboxPort": false, "UnexposeSandboxPort": false, "ListRoutes": false,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("methods and whether they stream (-want +got):\n%s", diff)
	}
}
