#!/usr/bin/env bash
# reload-gateway.sh
#
# Fetches the build server's current build, verifies it with the key that the
# gateway was made with, switches to it and restarts app-gateway. Nothing else is
# touched: VPN, routes and allocation stay. A build that cannot be had or does
# not come up leaves the one that serves. Until the new one has answered, the file
# pending names the release before it, to which whoever finds that file goes back:
# this script, however it ends, the next one, or the node at its boot.
#
# GATEWAY_BUILD_URL says where builds are served; else it is BUILD_SERVER_IP,
# which is the default route's gateway unless given, and BUILD_SERVER_PORT.
# GATEWAY_BUILD_KEY is the file of another public key, which becomes the gateway's
# once a build that it verifies has answered; the file is gone afterwards.
set -euo pipefail
# shellcheck source=deploy/gateway/app/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

readonly app_file=$GATEWAY_RUN/app.pid loop_file=$GATEWAY_RUN/loop.pid reload_file=$GATEWAY_RUN/reload.pid
readonly pending=$GATEWAY_ROOT/pending
readonly trusted_key=$GATEWAY_STATE/build.pub
readonly public_key=${GATEWAY_BUILD_KEY:-$trusted_key}
readonly stop_seconds=${GATEWAY_STOP_GRACE:-10} answer_seconds=${GATEWAY_RELOAD_SECONDS:-10}

# find_server: sets url.
find_server() {
  local ip=${BUILD_SERVER_IP:-} port=${BUILD_SERVER_PORT:-7180}
  url=${GATEWAY_BUILD_URL:-}
  [[ -z $url ]] || return 0
  if ! [[ $port =~ ^[1-9][0-9]{0,4}$ ]] || ((port > 65535)); then
    fail "BUILD_SERVER_PORT is \"$port\": give a port from 1 to 65535"
  fi
  [[ -n $ip ]] || ip=$(ip -json route show default | jq -r '.[0].gateway // empty')
  [[ -n $ip ]] || fail "there is no default route: give BUILD_SERVER_IP or GATEWAY_BUILD_URL"
  if [[ $ip == *:* ]]; then ip="[$ip]"; fi
  url=http://$ip:$port
}

# reason: what app-gateway said last before it ended with an error.
reason() { tail -n 1 "$work/log" | sed 's/^app-gateway: //'; }

gone() { [[ $(start_time "$1") != "$2" ]]; }

# restart PROGRAM: ends the app that runs now, and waits until that program
# answers. For the marker, which it takes away, the loop starts it at once.
restart() {
  local before pid started
  before=$(cat "$app_file" 2>/dev/null || true)
  pid=$(recorded "$app_file") || pid=
  mark "$reloading_marker" "$$"
  record "$$" "$reload_file" # anew: the node counts from here
  if [[ -n $pid ]]; then
    started=${before#* }
    signal TERM "-$pid"
    if ! await "$stop_seconds" gone "$pid" "$started"; then
      signal KILL "-$pid"
      await 5 gone "$pid" "$started" || return 1
    fi
  fi
  # Without the lock: it may outlive a script that is killed.
  "$helper" reset await-app --timeout "${answer_seconds}s" --pid-file "$app_file" --program "$1" --once --after "$before" 2>"$work/log" 8>&-
}

# back: to the release that served.
back() {
  local previous
  previous=$(cat "$pending")
  ln -sfn "$previous" "$GATEWAY_ROOT/.current.back"
  mv -T "$GATEWAY_ROOT/.current.back" "$GATEWAY_ROOT/current"
  rm -f "$pending"
}

# serves PROGRAM: is it what runs?
serves() {
  local app
  app=$(recorded "$app_file") && [[ $(readlink "/proc/$app/exe") == "$1" ]]
}

# trust: the key that verified a build that answers.
trust() {
  [[ $public_key != "$trusted_key" ]] || return 0
  if ! sync "$public_key" || ! mv -T "$public_key" "$trusted_key"; then
    fail "the build key cannot be put at $trusted_key"
  fi
}

# undo: whatever ends the script before the new app answers leaves the old one.
undo() {
  local code=$?
  trap '' TERM INT HUP
  if [[ -n $fetch ]]; then
    signal TERM "$fetch"
    wait "$fetch" || true
  fi
  if [[ -e $pending ]]; then
    back
    serves "$helper" || restart "$helper" || true
  fi
  [[ $public_key == "$trusted_key" ]] || rm -f "$public_key"
  rm -rf "$reloading_marker" "$reload_file" "$work"
  finish "$code"
}

[[ $stop_seconds =~ ^[0-9]{1,3}$ ]] || fail "GATEWAY_STOP_GRACE is \"$stop_seconds\": give whole seconds, 0 to 999"
[[ $answer_seconds =~ ^[1-9][0-9]{0,2}$ ]] || fail "GATEWAY_RELOAD_SECONDS is \"$answer_seconds\": give whole seconds, 1 to 999"
[[ -s $public_key ]] || fail "this gateway has no build key: it takes builds only with the public key at $public_key"
find_server

mkdir -p "$GATEWAY_RUN"
exec 8>>"$GATEWAY_RUN/lifecycle.lock"
flock -w 0.5 8 || fail "a $(cat "$GATEWAY_RUN/lifecycle.lock") is already running"
echo reload >"$GATEWAY_RUN/lifecycle.lock"
recorded "$loop_file" >/dev/null || fail "app-gateway is not kept running: reset the gateway"

# One that was killed has left a build that nobody has seen to work.
if [[ -s $pending ]]; then back; fi
# The program that works helps, whatever becomes of the new one.
helper=$(readlink -e "$APP_GATEWAY") || fail "there is no build at $APP_GATEWAY"
work=$(mktemp -d) fetch=''
trap undo EXIT
record "$$" "$reload_file"
code=0
# A job, so that a signal does not leave it to switch after we went back.
"$helper" build fetch --url "$url" --public-key "$public_key" --root "$GATEWAY_ROOT" </dev/null >"$work/fetched" 2>"$work/log" 3>&- &
fetch=$!
wait "$fetch" || code=$?
fetch=
((code == 0)) || fail "the build cannot be had from $url: $(reason)"

new=$(readlink -e "$APP_GATEWAY") || new=
if [[ ! -e $pending ]] && serves "$new"; then
  trust
  # shellcheck disable=SC2016 # jq's own variable
  ok --slurpfile fetched "$work/fetched" '$fetched[0] | {changed: false, commit, sha256}'
  exit 0
fi
if ! restart "$new"; then
  why=$(reason)
  if [[ -e $pending ]]; then back; fi
  restart "$helper" || fail "the new build does not come up ($why), and the one before neither ($(reason))"
  fail "the new build does not come up, the one before serves again: $why"
fi
trust
rm -f "$pending"
# shellcheck disable=SC2016 # jq's own variable
ok --slurpfile fetched "$work/fetched" '$fetched[0] | {changed: true, commit, sha256}'
