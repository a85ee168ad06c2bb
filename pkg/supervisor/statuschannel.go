//go:build linux

package supervisor

import (
	"encoding/json"
	"reflect"

	"golang.org/x/crypto/ssh"

	"openshell.ai/openshell/pkg/sandboxapi"
	"openshell.ai/openshell/pkg/version"
)

// statusChannel serves a ChannelStatus.
func (s *supervisor) statusChannel(request ssh.NewChannel) {
	ch, requests, err := request.Accept()
	if err != nil {
		return
	}
	defer ch.Close()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		ssh.DiscardRequests(requests)
	}()
	out := json.NewEncoder(ch)
	for told := (*sandboxapi.Status)(nil); ; {
		changed := s.changed()
		status := s.status()
		if told == nil || !reflect.DeepEqual(*told, status) {
			if out.Encode(status) != nil {
				return
			}
			told = &status
		}
		select {
		case <-changed:
		case <-gone:
			return
		}
	}
}

func (s *supervisor) status() sandboxapi.Status {
	status := sandboxapi.Status{Version: version.Version}
	if s.command != nil {
		c, _ := s.command.look()
		status.Command = &c
	}
	return status
}

// changed never fires in a sandbox without a command.
func (s *supervisor) changed() <-chan struct{} {
	if s.command == nil {
		return nil
	}
	return s.command.changed.wait()
}
