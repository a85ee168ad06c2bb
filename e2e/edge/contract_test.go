//go:build e2e

package edge

import (
	"fmt"
	"strings"
	"testing"
)

const (
	ok    = "ok"
	wrong = "error"
	// either: only the rule counts, one object that agrees with the exit code.
	either = ""
)

// branch is one way through a script.
type branch struct {
	name        string
	before      string // run in the box
	environment []string
	argv        string // without spaces in the arguments
	stdin       string
	status      string
	says        string // in the error
}

// run plays the branches one after the other in a box.
func (b *box) run(t *testing.T, branches []branch) {
	t.Helper()
	for _, br := range branches {
		t.Run(br.name, func(t *testing.T) {
			of := &box{t: t, id: b.id}
			if br.before != "" {
				of.sh(br.before)
			}
			a := of.answerOf(of.try(br.stdin, append(append([]string{"env"}, br.environment...), strings.Split(br.argv, "\x20")...)...))
			if br.status != either && a.Status != br.status || !strings.Contains(a.Error, br.says) {
				t.Errorf("got %v, want %q with %q", a.doc, br.status, br.says)
			}
		})
	}
}

// What main.sh makes of what it is told to run.
func TestContractOfMain(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.sh(`cp -r /opt/openshell/release/app /opt/app
cd /opt/app/bin
script() { printf '#!/bin/bash\n%s\n' "$2" >"$1.sh"; chmod 0755 "$1.sh"; }
script silent ':'
script dies 'exit 3'
script killed 'kill -KILL $$'
script garbage 'echo hello'
script truncated 'printf "{\"status\":"'
script two 'echo "{\"status\":\"ok\"}"; echo "{\"status\":\"ok\"}"'
script array 'echo "[{\"status\":\"ok\"}]"'
script liar 'echo "{\"status\":\"ok\"}"; exit 1'
script coward 'echo "{\"status\":\"error\",\"error\":\"x\"}"'
script mute 'echo "{\"status\":\"error\",\"error\":\"\"}"; exit 1'
script both 'echo "{\"status\":\"ok\",\"error\":\"x\"}"'
script unknown 'echo "{\"status\":\"fine\"}"'
script endless 'head -c 5000000 /dev/zero'
script wordy 'printf "{\"status\":\"ok\",\n \"text\":\"a\\\\u0000b\"}\n\n"'
script daemon 'sleep 300 & echo "{\"status\":\"ok\"}"'
script reads 'jq -Rsc "{status: \"ok\", read: .}"'
script own 'echo "{\"status\":\"error\",\"error\":\"its own words\"}"; exit 7'
script plain ':'
chmod 0644 plain.sh
mkdir directory.sh
cp wordy.sh 'with space.sh'`)
	const run = "/opt/app/main.sh -r "
	without := "without one JSON object that agrees"
	branches := []branch{
		{name: "no argument", argv: "/opt/app/main.sh", status: wrong, says: "usage"},
		{name: "no script", argv: "/opt/app/main.sh -r", status: wrong, says: "usage"},
		{name: "no such option", argv: "/opt/app/main.sh -x bin/own.sh", status: wrong, says: "usage"},
		{name: "too many", argv: run + "bin/own.sh more", status: wrong, says: "usage"},
		{name: "missing", argv: run + "bin/missing.sh", status: wrong, says: "there is no script bin/missing.sh"},
		{name: "empty", argv: run, status: wrong, says: "there is no script"},
		{name: "the common part", argv: run + "lib/common.sh", status: wrong, says: "there is no script"},
		{name: "no script of these", argv: run + "main.sh", status: wrong, says: "there is no script"},
		{name: "absolute", argv: run + "/opt/app/bin/own.sh", status: wrong, says: "there is no script"},
		{name: "by a detour", argv: run + "bin/../bin/own.sh", status: wrong, says: "there is no script"},
		{name: "outside", argv: run + "../../bin/sh", status: wrong, says: "there is no script"},
		{name: "pattern", argv: run + "bin/o*.sh", status: wrong, says: "there is no script"},
		{name: "directory", argv: run + "bin/directory.sh", status: wrong, says: "there is no script"},
		{name: "not executable", argv: run + "bin/plain.sh", status: wrong, says: "cannot be executed"},
		{name: "its own words", argv: run + "bin/own.sh", status: wrong, says: "its own words"},
		{name: "more than a line", argv: run + "bin/wordy.sh", status: ok},
		{name: "leaves a process behind", argv: run + "bin/daemon.sh", status: ok},
		{name: "killed", argv: run + "bin/killed.sh", status: wrong, says: "exit code 137"},
		{name: "dies", argv: run + "bin/dies.sh", status: wrong, says: "exit code 3"},
		{name: "no place for its lock", environment: []string{"GATEWAY_RUN=/proc/none"}, argv: run + "lib/stop-vpn.sh", status: wrong},
		{name: "lock is taken", before: `mkdir -p /run/other; setsid flock /run/other/scripts.lock sleep 60 >/dev/null 2>&1 &
until [[ -e /run/other/scripts.lock ]] && ! flock -n /run/other/scripts.lock true; do :; done`,
			environment: []string{"GATEWAY_RUN=/run/other"}, argv: run + "bin/update-nginx-locations.sh", status: wrong, says: "did not get its turn"},
	}
	for _, name := range []string{"silent", "garbage", "truncated", "two", "array", "liar", "coward", "mute", "both", "unknown", "endless"} {
		branches = append(branches, branch{name: name, argv: run + "bin/" + name + ".sh", status: wrong, says: without})
	}
	b.run(t, branches)

	if a := b.answerOf(b.try("a line\n", "/opt/app/main.sh", "-r", "bin/reads.sh")); a.doc["read"] != "a line\n" {
		t.Errorf("the script read %q", a.doc["read"])
	}
	if r := b.try("", "/opt/app/main.sh", "-r", "bin/own.sh"); r.code != 7 {
		t.Errorf("exit code %d, the script's is 7", r.code)
	}
}

// Every script, through each of its failures.
func TestContractOfScripts(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	const run = "/app/main.sh -r "
	var branches []branch
	scripts := strings.Fields(b.sh("cd /app; ls bin/*.sh lib/*.sh"))
	for _, script := range scripts {
		if script == "lib/common.sh" {
			continue
		}
		// What no script is prepared for: it dies, and says so.
		for _, environment := range []string{"GATEWAY_RUN=/proc/none", "GATEWAY_STATE=/proc/none", "LOG_FILE=/proc/none/log", "GATEWAY_ROOT=/proc/none", "TMPDIR=/proc/none", "PATH=/nowhere:/bin"} {
			// Not through main.sh, which would make an answer of anything.
			branches = append(branches, branch{name: script + " with " + environment, environment: []string{environment}, argv: "/app/" + script, status: either})
		}
	}
	port := func(name, value string) branch {
		return branch{name: "start-vpn " + name, environment: []string{"GATEWAY_VPN_PORT=" + value, "OPENVPN_PORT=" + value}, argv: run + "lib/start-vpn.sh", status: wrong, says: "OPENVPN_PORT"}
	}
	// A reset that a branch began does not go on beside the others.
	const quiet = `bash -c 'source /app/lib/common.sh; stop_recorded "$GATEWAY_RUN/reset.pid" 10; answered=1'
/app/lib/stop-app-gateway.sh`
	branches = append(branches,
		branch{name: "stop-app-gateway after all that", before: quiet, argv: run + "lib/stop-app-gateway.sh", status: ok},
		port("without a port", ""), port("port 0", "0"), port("port too high", "65536"), port("port no number", "x"), port("port hostile", "a[$(id)]"),
		branch{name: "start-vpn without a build", environment: []string{"APP_GATEWAY=/nowhere"}, argv: run + "lib/start-vpn.sh", status: wrong, says: "no build"},
		branch{name: "start-vpn without tun", before: "mv /dev/net/tun /dev/net/away", argv: run + "lib/start-vpn.sh", status: wrong, says: "/dev/net/tun"},
		branch{name: "stop-vpn with none", before: "mv /dev/net/away /dev/net/tun", argv: run + "lib/stop-vpn.sh", status: ok},
		branch{name: "stop-vpn again", argv: run + "lib/stop-vpn.sh", status: ok},

		branch{name: "reset-nginx without a port", environment: []string{"APP_GATEWAY_PORT=", "GATEWAY_HTTP_PORT="}, argv: run + "lib/reset-nginx.sh", status: wrong, says: "APP_GATEWAY_PORT"},
		branch{name: "reset-nginx port no number", environment: []string{"APP_GATEWAY_PORT=x"}, argv: run + "lib/reset-nginx.sh", status: wrong},
		branch{name: "reset-nginx without a build", environment: []string{"APP_GATEWAY=/nowhere"}, argv: run + "lib/reset-nginx.sh", status: wrong, says: "no build"},
		branch{name: "reset-nginx without its directory", environment: []string{"NGINX_CONFIG=/nowhere/x.conf"}, argv: run + "lib/reset-nginx.sh", status: wrong},
		branch{name: "update-nginx-locations without nginx", argv: run + "bin/update-nginx-locations.sh", stdin: "a 172.16.1.2 80\n", status: either},
		branch{name: "reset-nginx", argv: run + "lib/reset-nginx.sh", status: ok},
		branch{name: "update-nginx-locations with nothing", argv: run + "bin/update-nginx-locations.sh", status: ok},
		branch{name: "stop-nginx", argv: run + "lib/stop-nginx.sh", status: ok},
		branch{name: "stop-nginx again", argv: run + "lib/stop-nginx.sh", status: ok},

		branch{name: "start-app-gateway without a build", environment: []string{"APP_GATEWAY=/nowhere"}, argv: run + "lib/start-app-gateway.sh", status: wrong, says: "no build"},
		branch{name: "stop-app-gateway with none", argv: run + "lib/stop-app-gateway.sh", status: ok},
		branch{name: "stop-app-gateway without a time", environment: []string{"GATEWAY_STOP_GRACE=soon"}, argv: run + "lib/stop-app-gateway.sh", status: wrong, says: "GATEWAY_STOP_GRACE"},
		branch{name: "stop-app-gateway with the port taken", before: `setsid /opt/gateway/current/bin/app-gateway build serve --dir /tmp --listen 127.0.0.1:8888 >/dev/null 2>&1 &
echo $! >/tmp/taker
until [[ -n $(ss -Hltn 'sport = :8888') ]]; do :; done`, argv: run + "lib/stop-app-gateway.sh", status: wrong, says: "port 8888 is taken"},
		branch{name: "stop-app-gateway with the port free again", before: "kill $(cat /tmp/taker)", argv: run + "lib/stop-app-gateway.sh", status: ok},

		branch{name: "reset-gateway with a wrong epoch", environment: []string{"GATEWAY_KEEP_EPOCH=2"}, argv: run + "bin/reset-gateway.sh", status: wrong, says: "GATEWAY_KEEP_EPOCH"},
		branch{name: "reload-gateway without a key", argv: run + "lib/reload-gateway.sh", status: wrong, says: "no build key"},
		branch{name: "reload-gateway without the app", before: "echo x >/var/lib/openshell/current/edge/build.pub", argv: run + "lib/reload-gateway.sh", status: wrong, says: "reset the gateway"},
		branch{name: "reload-gateway without a port", environment: []string{"BUILD_SERVER_PORT=x"}, argv: run + "lib/reload-gateway.sh", status: wrong, says: "BUILD_SERVER_PORT"},
		branch{name: "reload-gateway without a limit", environment: []string{"GATEWAY_RELOAD_SECONDS=0"}, argv: run + "lib/reload-gateway.sh", status: wrong, says: "GATEWAY_RELOAD_SECONDS"},
		branch{name: "reload-gateway without a time", environment: []string{"GATEWAY_STOP_GRACE=x"}, argv: run + "lib/reload-gateway.sh", status: wrong, says: "GATEWAY_STOP_GRACE"},
		branch{name: "reload-gateway while another runs", before: `echo reload >/run/openshell-edge/lifecycle.lock
setsid flock /run/openshell-edge/lifecycle.lock sleep 2 >/dev/null 2>&1 &
while flock -n /run/openshell-edge/lifecycle.lock true; do :; done`, argv: run + "lib/reload-gateway.sh", status: wrong, says: "a reload is already running"},
	)
	for _, line := range []string{
		"a 172.16.1.2", "a 172.16.1.2 80 more", "A 172.16.1.2 80", "collab 172.16.1.2 80", "a 8.8.8.8 80", "a 172.16.1.2 0", "a 172.16.1.2 65536",
		"a 172.16.1.2 80;", "a;{} 172.16.1.2 80", "a ::1 80", "a 127.0.0.1 80", "a 172.16.1.2 80\na 172.16.1.3 80", "\x00", strings.Repeat("x", 70000), "a 172.16.1.2 80\n\xff\xfe",
	} {
		branches = append(branches, branch{name: fmt.Sprintf("update-nginx-locations with %.30q", line), argv: run + "bin/update-nginx-locations.sh", stdin: line + "\n", status: wrong})
	}
	b.run(t, branches)
}
