#!/usr/bin/env bash
# stop-app-gateway.sh
#
# Stops app-gateway and the loop that keeps it running: TERM, so that the app
# makes its last push, and after GATEWAY_STOP_GRACE seconds KILL. When it answers
# that all is well, port 8888 is free and the state of the project is blank.
set -euo pipefail
# shellcheck source=deploy/gateway/app/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

readonly loop_file=$GATEWAY_RUN/loop.pid app_file=$GATEWAY_RUN/app.pid
readonly stop_seconds=${GATEWAY_STOP_GRACE:-10}
readonly port=8888
[[ $stop_seconds =~ ^[0-9]{1,3}$ ]] || fail "GATEWAY_STOP_GRACE is \"$stop_seconds\": give whole seconds, 0 to 999"

ended() { ! recorded "$loop_file" >/dev/null && ! recorded "$app_file" >/dev/null; }

port_is_free() { [[ -z $(ss -Hltn "sport = :$port") ]]; }

# The loop passes the signal on and ends with the app. Without a loop the app is
# told directly, below, and only then is its time still to come.
app_seconds=$stop_seconds
if loop=$(recorded "$loop_file"); then
  app_seconds=0
  signal TERM "$loop"
  await "$stop_seconds" ended || true
fi
stop_recorded "$app_file" "$app_seconds" -g || fail "app-gateway does not end, not even killed"
# The loop sees its app gone and ends by itself; its group is only itself.
stop_recorded "$loop_file" 1 -g || fail "the loop that keeps app-gateway running does not end, not even killed"
# A loop may have started the app again in its last moment.
stop_recorded "$app_file" 0 -g || fail "app-gateway does not end, not even killed"

rm -f /tmp/project-config.json
await 5 port_is_free || fail "port $port is taken by a process that is not app-gateway's"
ok
