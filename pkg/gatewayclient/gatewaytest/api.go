//go:build !windows

package gatewaytest

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	datamodelv1 "openshell.ai/openshell/pkg/api/openshell/datamodel/v1"
	openshellv1 "openshell.ai/openshell/pkg/api/openshell/v1"
)

// What a sandbox's name makes of it.
const (
	Slow    = "slow"    // never ready
	Broken  = "broken"  // its image cannot be pulled
	Refused = "refused" // the gateway has a trouble of its own
)

func absent(name string) error {
	return status.Errorf(codes.NotFound, "sandbox %s does not exist", name)
}

func (g *Gateway) CreateSandbox(_ context.Context, r *openshellv1.CreateSandboxRequest) (*openshellv1.SandboxResponse, error) {
	if r.GetName() == Refused {
		return nil, status.Error(codes.Internal, "etcd is on fire")
	}
	if r.GetSpec().GetGpu() {
		return nil, status.Error(codes.Unimplemented, "gpu is not supported")
	}
	signer, public, err := newHostKey()
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.made++
	name := cmp.Or(r.GetName(), fmt.Sprintf("pet-name-%d", g.made))
	if g.sandboxes[name] != nil {
		return nil, status.Errorf(codes.AlreadyExists, "sandbox %s exists already", name)
	}
	id := strings.ToLower(rand.Text()[:20])
	dir, err := g.makeWorkspace(id)
	if err != nil {
		return nil, err
	}
	phase, reason, message := datamodelv1.SandboxPhase_SANDBOX_PHASE_READY, "", ""
	switch name {
	case Slow:
		phase, reason, message = datamodelv1.SandboxPhase_SANDBOX_PHASE_PROVISIONING, "Provisioning", "the pod is starting"
	case Broken:
		phase, reason, message = datamodelv1.SandboxPhase_SANDBOX_PHASE_ERROR, "ImagePullBackOff", "the image x cannot be pulled: no such host"
	}
	limits := r.GetSpec().GetTemplate().GetResources().AsMap()["limits"]
	if m, ok := limits.(map[string]any); ok && m["cpu"] == "1000000m" {
		phase, reason, message = datamodelv1.SandboxPhase_SANDBOX_PHASE_ERROR, "Unschedulable", "the node has too little cpu left for the sandbox"
	}
	s := &Sandbox{id: id, dir: dir, key: signer}
	s.changed.L = &s.mu
	s.record = &datamodelv1.Sandbox{
		Id: id, Name: name, Namespace: "test", Spec: r.GetSpec(), Phase: phase, CreatedAtMs: time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC).UnixMilli(),
		Status: &datamodelv1.SandboxStatus{
			SandboxName: name, SshHostKey: public, SshHostKeyFingerprint: ssh.FingerprintSHA256(signer.PublicKey()),
			Conditions: []*datamodelv1.SandboxCondition{{Type: "Ready", Status: "False", Reason: reason, Message: message}},
		},
	}
	g.sandboxes[name] = s
	g.order = append(g.order, name)
	answer := s.snapshot()
	answer.Phase = datamodelv1.SandboxPhase_SANDBOX_PHASE_PROVISIONING
	if argv := r.GetSpec().GetCommand(); len(argv) > 0 && phase == datamodelv1.SandboxPhase_SANDBOX_PHASE_READY && !r.GetSpec().GetHold() {
		s.startCommand(nil)
	}
	return &openshellv1.SandboxResponse{Sandbox: answer}, nil
}

func (g *Gateway) GetSandbox(_ context.Context, r *openshellv1.GetSandboxRequest) (*openshellv1.SandboxResponse, error) {
	s := g.Sandbox(r.GetName())
	if s == nil {
		return nil, absent(r.GetName())
	}
	return &openshellv1.SandboxResponse{Sandbox: s.snapshot()}, nil
}

func (g *Gateway) ListSandboxes(_ context.Context, r *openshellv1.ListSandboxesRequest) (*openshellv1.ListSandboxesResponse, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	answer := &openshellv1.ListSandboxesResponse{}
	for i, name := range g.order {
		if i >= int(r.GetOffset()) && len(answer.Sandboxes) < int(r.GetLimit()) {
			answer.Sandboxes = append(answer.Sandboxes, g.sandboxes[name].snapshot())
		}
	}
	return answer, nil
}

func (g *Gateway) DeleteSandbox(_ context.Context, r *openshellv1.DeleteSandboxRequest) (*openshellv1.DeleteSandboxResponse, error) {
	s := g.Sandbox(r.GetName())
	if s == nil {
		return nil, absent(r.GetName())
	}
	s.setPhase(datamodelv1.SandboxPhase_SANDBOX_PHASE_DELETING)
	// As on the real one, it takes a moment.
	time.AfterFunc(50*time.Millisecond, func() {
		s.end()
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.sandboxes, r.GetName())
		maps.DeleteFunc(g.routes, func(_ string, route *openshellv1.Route) bool { return route.GetSandboxId() == s.id })
		g.order = slices.DeleteFunc(g.order, func(name string) bool { return name == r.GetName() })
	})
	return &openshellv1.DeleteSandboxResponse{Deleted: true}, nil
}

func (g *Gateway) StopSandbox(_ context.Context, r *openshellv1.StopSandboxRequest) (*openshellv1.SandboxResponse, error) {
	return g.change(r.GetName(), datamodelv1.SandboxPhase_SANDBOX_PHASE_STOPPED)
}

func (g *Gateway) StartSandbox(_ context.Context, r *openshellv1.StartSandboxRequest) (*openshellv1.SandboxResponse, error) {
	return g.change(r.GetName(), datamodelv1.SandboxPhase_SANDBOX_PHASE_READY)
}

func (g *Gateway) change(name string, to datamodelv1.SandboxPhase) (*openshellv1.SandboxResponse, error) {
	s := g.Sandbox(name)
	if s == nil {
		return nil, absent(name)
	}
	stopped := to == datamodelv1.SandboxPhase_SANDBOX_PHASE_STOPPED
	s.setStopped(stopped)
	answer := s.snapshot()
	if stopped {
		s.end()
	}
	time.AfterFunc(50*time.Millisecond, func() { s.setPhase(to) })
	return &openshellv1.SandboxResponse{Sandbox: answer}, nil
}

func (g *Gateway) CreateSshSession(_ context.Context, r *openshellv1.CreateSshSessionRequest) (*openshellv1.CreateSshSessionResponse, error) {
	s := g.byID(r.GetSandboxId())
	if s == nil {
		return nil, absent(r.GetSandboxId())
	}
	now := s.snapshot()
	if now.GetPhase() != datamodelv1.SandboxPhase_SANDBOX_PHASE_READY {
		return nil, status.Errorf(codes.FailedPrecondition, "sandbox %s is not ready", now.GetName())
	}
	token := rand.Text()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tokens[token] = s.id
	return &openshellv1.CreateSshSessionResponse{SandboxId: s.id, Token: token, HostKey: now.GetStatus().GetSshHostKey()}, nil
}

func (g *Gateway) RevokeSshSession(_ context.Context, r *openshellv1.RevokeSshSessionRequest) (*openshellv1.RevokeSshSessionResponse, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, known := g.tokens[r.GetToken()]
	delete(g.tokens, r.GetToken())
	return &openshellv1.RevokeSshSessionResponse{Revoked: known}, nil
}

func (g *Gateway) WatchSandbox(r *openshellv1.WatchSandboxRequest, stream openshellv1.OpenShell_WatchSandboxServer) error {
	s := g.byID(r.GetId())
	if s == nil {
		return absent(r.GetId())
	}
	send := func(e *openshellv1.SandboxStreamEvent) error { return stream.Send(e) }
	if r.GetFollowLogs() {
		for _, line := range s.lines(r.GetLogSources()) {
			if err := send(&openshellv1.SandboxStreamEvent{Payload: &openshellv1.SandboxStreamEvent_Log{Log: line}}); err != nil {
				return err
			}
		}
	}
	var last *datamodelv1.Sandbox
	for {
		now := s.snapshot()
		if r.GetFollowStatus() && !proto.Equal(last, now) {
			last = now
			if err := send(&openshellv1.SandboxStreamEvent{Payload: &openshellv1.SandboxStreamEvent_Sandbox{Sandbox: now}}); err != nil {
				return err
			}
			terminal := now.GetPhase() == datamodelv1.SandboxPhase_SANDBOX_PHASE_READY || now.GetPhase() == datamodelv1.SandboxPhase_SANDBOX_PHASE_ERROR
			if terminal && r.GetStopOnTerminal() {
				return nil
			}
		}
		select {
		case <-stream.Context().Done():
			return nil
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (g *Gateway) GetSandboxLogs(_ context.Context, r *openshellv1.GetSandboxLogsRequest) (*openshellv1.GetSandboxLogsResponse, error) {
	s := g.byID(r.GetSandboxId())
	if s == nil {
		return nil, absent(r.GetSandboxId())
	}
	lines := s.lines(r.GetSources())
	if n := int(r.GetLines()); n > 0 && n < len(lines) {
		lines = lines[len(lines)-n:]
	}
	return &openshellv1.GetSandboxLogsResponse{Logs: lines}, nil
}
