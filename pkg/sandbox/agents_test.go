package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"openshell.ai/openshell/pkg/handshake"
	"openshell.ai/openshell/pkg/sandboxapi"
)

// supervisor is one of a test: it takes the preface and speaks SSH, of which it
// knows the status channel.
type supervisor struct {
	t        *testing.T
	listener net.Listener
	private  []byte
	public   string
	status   chan sandboxapi.Status

	mu    sync.Mutex
	conns []net.Conn
}

func newSupervisor(t *testing.T, id string) *supervisor {
	t.Helper()
	private, err := newHostKey()
	if err != nil {
		t.Fatal(err)
	}
	public, err := publicHostKey(private)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &supervisor{t: t, listener: listener, private: private, public: public, status: make(chan sandboxapi.Status, 8)}
	t.Cleanup(func() {
		_ = listener.Close()
		s.hangUp()
	})
	key := handshake.Derive(testMaster(), id)
	verifier := handshake.NewVerifier(func() (handshake.Key, error) { return key, nil }, time.Now)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, conn)
			s.mu.Unlock()
			go s.serve(verifier, conn)
		}
	}()
	return s
}

func (s *supervisor) serve(verifier *handshake.Verifier, conn net.Conn) {
	accepted, err := verifier.Accept(conn)
	if err != nil {
		return
	}
	config := &ssh.ServerConfig{NoClientAuth: true}
	signer, err := ssh.ParsePrivateKey(s.private)
	if err != nil {
		s.t.Error(err)
		return
	}
	config.AddHostKey(signer)
	_, channels, requests, err := ssh.NewServerConn(accepted, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for opened := range channels {
		if opened.ChannelType() != sandboxapi.ChannelStatus {
			_ = opened.Reject(ssh.UnknownChannelType, "no")
			continue
		}
		channel, requests, err := opened.Accept()
		if err != nil {
			return
		}
		go ssh.DiscardRequests(requests)
		go func() {
			for status := range s.status {
				if json.NewEncoder(channel).Encode(status) != nil {
					return
				}
			}
		}()
	}
}

func (s *supervisor) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		_ = c.Close()
	}
	s.conns = nil
}

func (s *supervisor) target(id string) target {
	return target{id: id, sandbox: testName, hostKey: s.public, address: s.listener.Addr().String(), pod: "pod"}
}

func testAgents(t *testing.T) (*agents, <-chan string) {
	t.Helper()
	changed := make(chan string, 64)
	a := newAgents(network{testMaster()}, func(name string) { changed <- name },
		func(_ context.Context, id string) (bool, error) { return id == "exists", nil }, discard())
	t.Cleanup(a.forgetAll)
	return a, changed
}

// until waits for news until the word of the sandbox satisfies.
func until(t *testing.T, a *agents, changed <-chan string, what string, ok func(word) bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for !ok(a.word(testID)) {
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("never %s: %+v", what, a.word(testID))
		}
	}
}

func TestWordFollowsTheSupervisor(t *testing.T) {
	s := newSupervisor(t, testID)
	a, changed := testAgents(t)
	a.watch(s.target(testID))
	s.status <- sandboxapi.Status{Command: &sandboxapi.CommandStatus{State: sandboxapi.CommandRunning}}
	until(t, a, changed, "running", func(w word) bool { return w.connected && w.status.Command.State == sandboxapi.CommandRunning })
	s.status <- sandboxapi.Status{Command: &sandboxapi.CommandStatus{State: sandboxapi.CommandExited, ExitCode: 7}}
	until(t, a, changed, "exited", func(w word) bool { return w.connected && w.status.Command.ExitCode == 7 })
	client, err := a.Connect(t.Context(), testID)
	if err != nil {
		t.Fatal(err)
	}
	_ = client.Close()
	_ = s.listener.Close() // it does not come back at once
	s.hangUp()
	until(t, a, changed, "disconnected", func(w word) bool { return !w.connected })
	if w := a.word(testID); w.status.Command.ExitCode != 7 {
		t.Errorf("the last word is forgotten: %+v", w)
	}
	if _, err := a.Dial(t.Context(), testID); !errors.Is(err, ErrNotReady) {
		t.Errorf("Dial to a supervisor that is away: %v", err)
	}
	// Its pod comes back elsewhere.
	next := newSupervisor(t, testID)
	a.watch(next.target(testID))
	next.status <- sandboxapi.Status{}
	until(t, a, changed, "connected again", func(w word) bool { return w.connected })
	a.forget(testID)
	if w := a.word(testID); w.connected {
		t.Error("a forgotten sandbox is connected")
	}
}

func TestConnectionComesBackAfterAnInterruption(t *testing.T) {
	s := newSupervisor(t, testID)
	a, changed := testAgents(t)
	a.watch(s.target(testID))
	s.status <- sandboxapi.Status{}
	until(t, a, changed, "connected", func(w word) bool { return w.connected })
	s.hangUp()
	until(t, a, changed, "disconnected", func(w word) bool { return !w.connected })
	// The first connection's status channel may take what is meant for the second.
	for range 4 {
		s.status <- sandboxapi.Status{}
	}
	until(t, a, changed, "connected again", func(w word) bool { return w.connected })
}

func TestOnlyTheRightSupervisorIsReady(t *testing.T) {
	for _, tt := range []struct {
		name string
		id   string // whose key the supervisor has
		edit func(*target)
	}{
		{"another host key", testID, func(t *target) {
			key, _ := newHostKey()
			t.hostKey, _ = publicHostKey(key)
		}},
		{"another handshake key", "another", func(*target) {}},
		{"no host key", testID, func(t *target) { t.hostKey = "" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSupervisor(t, tt.id)
			a, changed := testAgents(t)
			wrong := s.target(testID)
			tt.edit(&wrong)
			a.watch(wrong)
			s.status <- sandboxapi.Status{}
			select {
			case <-changed:
				t.Errorf("word = %+v", a.word(testID))
			case <-time.After(300 * time.Millisecond):
			}
			if _, err := a.Connect(t.Context(), testID); err == nil {
				t.Error("Connect succeeded")
			}
		})
	}
}

func TestDialKnowsWhatThereIs(t *testing.T) {
	a, _ := testAgents(t)
	if _, err := a.Dial(t.Context(), "gone"); !errors.Is(err, ErrGone) {
		t.Errorf("no such sandbox: %v", err)
	}
	if _, err := a.Dial(t.Context(), "exists"); !errors.Is(err, ErrNotReady) {
		t.Errorf("a sandbox without a pod: %v", err)
	}
	a.watch(target{id: testID, sandbox: testName})
	if _, err := a.Dial(t.Context(), testID); !errors.Is(err, ErrNotReady) {
		t.Errorf("a pod without an address: %v", err)
	}
	ending := newSupervisor(t, testID).target(testID)
	ending.ending = true
	a.watch(ending)
	if _, err := a.Dial(t.Context(), testID); !errors.Is(err, ErrNotReady) {
		t.Errorf("a pod that ends: %v", err)
	}
}

func TestHintNamesAnAddressBeforeTheKubeletDoes(t *testing.T) {
	s := newSupervisor(t, testID)
	a, changed := testAgents(t)
	unknown := s.target(testID)
	unknown.address = ""
	a.watch(unknown)
	a.get(testID).hint(s.listener.Addr().String())
	s.status <- sandboxapi.Status{}
	until(t, a, changed, "connected", func(w word) bool { return w.connected })
	// The kubelet's first report comes without an address still.
	unknown.container = "containerd://1"
	a.watch(unknown)
	if got := a.get(testID).aimed().address; got != s.listener.Addr().String() || !a.word(testID).connected {
		t.Errorf("address = %q, word %+v", got, a.word(testID))
	}
	// A new pod has an address of its own.
	unknown.pod = "next"
	a.watch(unknown)
	if got := a.get(testID).aimed().address; got != "" {
		t.Errorf("address of the new pod = %q", got)
	}
}

// Else a sandbox could have the preface of another shown to it, and use it.
func TestHintFromAnotherSandboxIsNotTried(t *testing.T) {
	a, _ := testAgents(t)
	a.watch(target{id: "spy", sandbox: "spy", address: "127.0.0.9:2222"})
	a.watch(target{id: testID, sandbox: testName})
	a.hint(testID, "127.0.0.9")
	if got := a.get(testID).aimed().address; got != "" {
		t.Errorf("address = %q", got)
	}
	a.hint("nobody", "127.0.0.8")
	a.hint(testID, "127.0.0.8")
	if got := a.get(testID).aimed().address; got != "127.0.0.8:2222" {
		t.Errorf("address = %q", got)
	}
}
