//go:build linux

package supervisor_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"openshell.ai/openshell/pkg/sandboxapi"
)

// Where a process of the user's comes from must not matter.
func everyWay(t *testing.T, r *rig, argv []string) map[string]string {
	t.Helper()
	ways := map[string]string{}
	ways["exec"] = r.exec(t, sandboxapi.Exec{Argv: argv}, "").Stdout
	ways["exec on a terminal"] = r.exec(t, sandboxapi.Exec{Argv: argv, TTY: &sandboxapi.TTY{Term: "vt100"}}, "").Stdout
	s, err := r.raw().NewSession()
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.Output(strings.Join(argv, " "))
	if err != nil {
		t.Fatal(err)
	}
	ways["session"] = string(out)
	// The supervisor of this rig has argv as its command.
	got, err := r.attach(sandboxapi.Attach{Start: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ways["command"] = got.Stdout
	return ways
}

func TestPitfall28NoProcessOfTheUserReachesTheSupervisor(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	argv := r.probe("attack")
	r.Command = &sandboxapi.Command{Argv: argv, Hold: true}
	r.start()
	for way, out := range everyWay(t, r, argv) {
		if strings.Count(out, "\n") < 18 {
			t.Errorf("%s: only %q", way, out)
		}
		for line := range strings.Lines(out) {
			// The one thing that is allowed shows that the probe can tell.
			if allowed := strings.HasPrefix(line, "new priority"); strings.Contains(line, "WORKED") != allowed {
				t.Errorf("%s: %s", way, line)
			}
		}
	}
	r.status(sandboxapi.CommandExited) // the supervisor is alive
}

func TestPitfall28NoProcessOfTheUserReadsASecret(t *testing.T) {
	t.Parallel()
	r := newRig(t).start()
	script := `
for f in /run/openshell/secret/* /run/openshell/secret /run/openshell/state /run/openshell/state/* /proc/1/environ /proc/1/root/run/openshell/secret/handshake-key; do
  cat "$f" 2>/dev/null && echo "RE""AD $f"; ls "$f"/ >/dev/null 2>&1 && echo "LIST""ED $f"
done
for p in /proc/[0-9]*; do cat $p/environ $p/cmdline 2>/dev/null; done
echo done`
	got := r.sh(script)
	for _, secret := range []string{string(r.key), "PRIVATE KEY", "READ", "LISTED /run/openshell/state"} {
		if strings.Contains(got.Stdout+got.Stderr, secret) {
			t.Errorf("%.20q is to be seen in %q", secret, got.Stdout)
		}
	}
	if !strings.Contains(got.Stdout, "done") {
		t.Errorf("the script did not end: %+v", got)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, secret := range []string{string(r.key), "t0ken", "PRIVATE"} {
		if strings.Contains(r.log.String(), secret) {
			t.Errorf("the log shows a secret:\n%s", r.log.String())
		}
	}
}

func TestProcessesHaveNoPrivileges(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	argv := []string{"sh", "-c", `'id -u; id -g; id -G; grep -E "^(NoNewPrivs|CapInh|CapPrm|CapEff|CapAmb|Uid|Gid):" /proc/self/status | tr "\t" " "; umask; /tmp/setuid-id -u; touch /etc/x 2>/dev/null && echo wrote; ls /proc/self/fd | tr "\n" " "'`}
	r.Command = &sandboxapi.Command{Argv: []string{"sh", "-c", strings.Trim(argv[2], "'")}, Hold: true}
	r.start()
	want := `1000
1000
1000
Uid: 1000 1000 1000 1000
Gid: 1000 1000 1000 1000
CapInh: 0000000000000000
CapPrm: 0000000000000000
CapEff: 0000000000000000
CapAmb: 0000000000000000
NoNewPrivs: 1
0022
1000
0 1 2 3 `
	// By a session's shell the quotes are needed; elsewhere the words are exact.
	session, err := r.raw().NewSession()
	if err != nil {
		t.Fatal(err)
	}
	out, err := session.Output(strings.Join(argv, " "))
	if err != nil {
		t.Fatal(err)
	}
	attached, err := r.attach(sandboxapi.Attach{Start: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	exact := sandboxapi.Exec{Argv: r.Command.Argv}
	onTerminal := exact
	onTerminal.TTY = &sandboxapi.TTY{Term: "vt100"}
	for way, got := range map[string]string{
		"session": string(out), "command": attached.Stdout, "exec": r.exec(t, exact, "").Stdout,
		"terminal": strings.ReplaceAll(r.exec(t, onTerminal, "").Stdout, "\r", ""),
	} {
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", way, diff)
		}
	}
}

func TestSetuidProgramWouldWorkOtherwise(t *testing.T) {
	t.Parallel()
	// Without this the test above would hold on a file system that is nosuid.
	r := newRig(t).start()
	if got := r.sh("ls -ln /tmp/setuid-id; grep -w /tmp /proc/mounts | grep -c nosuid"); !strings.HasPrefix(got.Stdout, "-rwsr-xr-x 1 0 0") {
		t.Errorf("%+v", got)
	} else if strings.TrimSpace(got.Stdout[strings.Index(got.Stdout, "\n"):]) != "0" {
		t.Errorf("%+v", got)
	}
}

func TestEveryProcessLeadsASession(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	argv := r.probe("sessions")
	r.Command = &sandboxapi.Command{Argv: argv, Hold: true}
	r.start()
	for way, out := range everyWay(t, r, argv) {
		if strings.TrimSpace(out) != "true true" {
			t.Errorf("%s: %q", way, out)
		}
	}
}

func TestEnvironment(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Env = []string{"PATH=/image/bin:/usr/bin:/bin", "LANG=C.UTF-8", "OPENSHELL_HIDDEN=x", "HOME=/root", "GREETING=of the image", "not a variable"}
	r.secret(sandboxapi.SecretEnviron, `{"GREETING":"hello\nworld","HOME2":"","B=D":"bad","":"bad"}`)
	r.start()
	want := `GREETING=hello
world
HOME=/sandbox
HOME2=
HOSTNAME=abc123
LANG=C.UTF-8
LOGNAME=sandbox
OPENSHELL_SANDBOX=dev
OPENSHELL_SANDBOX_ID=abc123
PATH=/image/bin:/usr/bin:/bin
SHELL=/bin/bash
USER=sandbox
`
	got := r.exec(t, sandboxapi.Exec{Argv: []string{"env"}}, "")
	if diff := cmp.Diff(want, got.Stdout); diff != "" {
		t.Error(diff)
	}
}

func TestWorkspaceAndStateHaveTheirOwners(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	if got := r.sh("echo x > a && mkdir d && stat -c '%u %a' . a d"); got.Stdout != "1000 755\n1000 644\n1000 755\n" {
		t.Errorf("%+v", got)
	}
	// What the user makes of it stays: nothing below the top is touched, ever.
	r.sh("chmod 700 .")
	if err := os.Chown(r.path("workspace/a"), 0, 0); err != nil {
		t.Fatal(err)
	}
	r.stop()
	r.start()
	if got := r.sh("cd / && stat -c '%u %a' /sandbox; cd /sandbox && stat -c %u a && sh -c 'echo $PWD'"); got.Stdout != "1000 700\n0\n/sandbox\n" {
		t.Errorf("%+v", got)
	}
	if info, err := os.Stat(r.path("state")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("state: %v, %v", info.Mode(), err)
	}
}
