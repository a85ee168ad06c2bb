package server

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// A client that knows nothing of this project learns the API by reflection
// and calls Health with it.
func TestGenericClientCallsHealth(t *testing.T) {
	s, ca, _ := startTLS(t)
	conn := dial(t, s, ca.config(t, ca.client(t)))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()

	method := reflectMethod(t, ctx, conn, "openshell.v1.OpenShell", "Health")
	reply := dynamicpb.NewMessage(method.Output())
	if err := conn.Invoke(ctx, "/openshell.v1.OpenShell/Health", dynamicpb.NewMessage(method.Input()), reply); err != nil {
		t.Fatal(err)
	}
	field := reply.Descriptor().Fields().ByName("status")
	if got := field.Enum().Values().ByNumber(reply.Get(field).Enum()).Name(); got != "SERVICE_STATUS_HEALTHY" {
		t.Errorf("status = %s", got)
	}
}

// reflectMethod describes a method from what the server says alone.
func reflectMethod(t *testing.T, ctx context.Context, conn *grpc.ClientConn, service, method string) protoreflect.MethodDescriptor {
	t.Helper()
	stream, err := grpc_reflection_v1.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
	must(t, err)
	must(t, stream.Send(&grpc_reflection_v1.ServerReflectionRequest{
		MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: service},
	}))
	answer, err := stream.Recv()
	must(t, err)
	set := &descriptorpb.FileDescriptorSet{}
	for _, raw := range answer.GetFileDescriptorResponse().GetFileDescriptorProto() {
		file := &descriptorpb.FileDescriptorProto{}
		must(t, proto.Unmarshal(raw, file))
		set.File = append(set.File, file)
	}
	files, err := protodesc.FileOptions{AllowUnresolvable: true}.NewFiles(set)
	must(t, err)
	return find(t, files, service, method)
}

func find(t *testing.T, files *protoregistry.Files, service, method string) protoreflect.MethodDescriptor {
	t.Helper()
	d, err := files.FindDescriptorByName(protoreflect.FullName(service))
	must(t, err)
	return d.(protoreflect.ServiceDescriptor).Methods().ByName(protoreflect.Name(method))
}
