//go:build linux

package supervisor_test

import (
	"strings"
	"testing"

	"openshell.ai/openshell/pkg/sandboxapi"
)

func TestAccount(t *testing.T) {
	t.Parallel()
	const root = "root:x:0:0:root:/root:/bin/bash"
	for name, tc := range map[string]struct {
		passwd, want string
	}{
		"none":            {root + "\n", "sandbox sandbox /sandbox /bin/bash"},
		"no last newline": {root, "sandbox sandbox /sandbox /bin/bash"},
		"of the image":    {root + "\nnode:x:1000:1000::/home/node:/bin/sh\n", "node node /home/node /bin/sh"},
		"without a shell": {root + "\nnode:x:1000:1000::/home/node:/usr/sbin/nologin\n", "node node /home/node /bin/bash"},
		"name is taken":   {root + "\nsandbox:x:7:7::/:/bin/sh\n", "openshell-sandbox openshell-sandbox /sandbox /bin/bash"},
		"damaged entries": {root + "\n\n:::\nx\n1000\n::1000\n", "sandbox sandbox /sandbox /bin/bash"},
		"no file":         {"", "sandbox sandbox /sandbox /bin/bash"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.Passwd = tc.passwd
			r.start()
			got := r.sh(`echo $(id -un) $USER $(grep '^[^:]*:[^:]*:1000:' /etc/passwd | cut -d: -f6) $SHELL; grep -c '^[^:][^:]*:[^:]*:1000:' /etc/passwd; head -n 1 /etc/passwd`)
			if lines := strings.Split(got.Stdout, "\n"); lines[0] != tc.want || lines[1] != "1" || tc.passwd != "" && lines[2] != root {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestImageOfOneProgram(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Passwd, r.NoShell = "", true
	hello := r.probe("hello")
	r.Command = &sandboxapi.Command{Argv: hello}
	r.start()
	if got := r.exec(t, sandboxapi.Exec{Argv: hello}, ""); got.Stdout != "hello from 1000\n" {
		t.Errorf("%+v", got)
	}
	if got := r.status(sandboxapi.CommandExited); got.ExitCode != 0 {
		t.Errorf("%+v", got)
	}
	s, err := r.raw().NewSession()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	s.Stderr = &stderr
	if err := s.Run("echo hi"); err == nil || !strings.Contains(err.Error(), "127") || !strings.Contains(stderr.String(), "sh: no such file") {
		t.Errorf("%v, %q", err, stderr.String())
	}
	files, err := r.connect().SFTP(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := files.Stat("/etc/passwd"); err != nil {
		t.Error(err)
	}
}
