#!/usr/bin/env bash
# start-app-gateway.sh
#
# Keeps app-gateway running, detached: at once after a reload, 3 s after a crash,
# until it is stopped or the gateway is reset. Answers {"status":"ok","pid":N}
# with the pid of that loop, also when it is there already.
#
# With --loop, which main.sh passes to no script, it is the loop itself.
set -euo pipefail
# shellcheck source=deploy/gateway/app/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

readonly loop_file=$GATEWAY_RUN/loop.pid app_file=$GATEWAY_RUN/app.pid
readonly pause=3

running() { recorded "$loop_file" >/dev/null; }

# open_log: fd 5 leads to the process that writes and rotates the log. It lives
# as long as anything that logs, and is not the app's child, nor in its group.
open_log() {
  exec 5> >(exec setsid "$APP_GATEWAY" log --file "$LOG_FILE" 9>&- 2>/dev/null)
  logger=$!
}

# say MESSAGE: to the log; a loop that cannot log goes on all the same.
say() { TZ=UTC printf '%(%Y-%m-%dT%H:%M:%SZ)T %s\n' -1 "$*" >&5 || true; }

# run: the app once, in a group of its own. It is recorded before it runs.
run() {
  (
    trap '' PIPE
    record "$BASHPID" "$app_file"
    trap - PIPE
    # A release's directory may go while the app runs.
    cd /
    exec setsid "$APP_GATEWAY" serve
  ) </dev/null >&5 2>&1 3>&- 5>&- 9>&- &
  app=$!
}

# end: what TERM does to the loop. The app gets the time that it needs.
end() {
  stopping=1
  if [[ -n $app ]]; then signal TERM "-$app"; fi
}

loop() {
  local app='' stopping='' logger code born
  mkdir -p "$GATEWAY_RUN" "$(dirname "$LOG_FILE")"
  exec 9>>"$GATEWAY_RUN/loop.lock"
  flock -n 9 || fail "the loop is running already"
  born=$(cat "$resetting_marker" 2>/dev/null || true)
  trap '' HUP PIPE
  trap end TERM INT
  open_log
  record "$BASHPID" "$loop_file"
  ok
  while [[ -z $stopping ]]; do
    kill -0 "$logger" 2>/dev/null || open_log
    run
    # A signal that came before there was an app to pass it to.
    if [[ -n $stopping ]]; then end; fi
    code=0
    wait "$app" || code=$?
    # A signal ends the wait, not the app. 127: there is nothing left to wait for.
    while ((code != 127)) && kill -0 "$app" 2>/dev/null; do
      code=0
      wait "$app" || code=$?
    done
    # What it left behind would be in the way of the next one.
    kill -KILL -- "-$app" 2>/dev/null || true
    app=
    if [[ -n $stopping ]] || resetting; then break; fi
    if marked "$reloading_marker"; then
      say "app-gateway ended with exit code $code, reloading"
    else
      say "app-gateway ended with exit code $code, starting it again in $pause s"
      # A reload may come in between.
      await "$pause" interrupted || true
    fi
    rm -f "$reloading_marker"
  done
  say "app-gateway is not started again"
  rm -f "$app_file" "$loop_file"
}

# resetting: a reset other than the one that started this loop.
resetting() { marked "$resetting_marker" && [[ $(cat "$resetting_marker") != "$born" ]]; }

interrupted() { [[ -n $stopping ]] || marked "$reloading_marker"; }

if [[ ${1:-} == --loop ]]; then
  loop
  exit 0
fi
[[ -x $APP_GATEWAY ]] || fail "there is no build at $APP_GATEWAY"
if ! running; then
  mkdir -p "$GATEWAY_RUN"
  setsid nohup "${BASH_SOURCE[0]}" --loop </dev/null >/dev/null 2>&1 3>&- &
  await 5 running || fail "the loop that keeps app-gateway running did not start"
fi
# shellcheck disable=SC2016 # jq's own variable
ok --argjson pid "$(recorded "$loop_file")" '{pid: $pid}'
