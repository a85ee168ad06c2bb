#!/usr/bin/env bash
# reset-gateway.sh
#
# Stops everything of the edge and starts it again, as a new epoch: VPN clients
# get new keys, unless GATEWAY_KEEP_EPOCH=1. Answers as soon as the reset has
# begun; the reset itself is a session of its own and ends well after whoever
# asked for it is dead, which app-gateway is by then. What it is doing, and how
# it ended, stands in $GATEWAY_RUN/reset.json.
#
# With --worker, which main.sh passes to no script, it is the reset itself.
set -euo pipefail
# shellcheck source=deploy/gateway/app/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"

readonly pid_file=$GATEWAY_RUN/reset.pid state_file=$GATEWAY_RUN/reset.json
readonly keep_epoch=${GATEWAY_KEEP_EPOCH:-0}
readonly step_seconds=60 answer_seconds=30

# state PHASE [RESULT [ERROR]]: says how far the reset is; readers see the whole
# of it or what it was before.
state() {
  # shellcheck disable=SC2016 # jq's own variables
  jq -nc --arg phase "$1" --arg result "${2:-}" --arg error "${3:-}" --argjson pid "$$" --arg started "$started" \
    --arg ended "${2:+$(now)}" --argjson keep "$keep_epoch" \
    '{phase: $phase, result: $result, error: $error, pid: $pid, startedAt: $started, endedAt: $ended, keepEpoch: ($keep == 1)}' \
    >"$state_file.$$" && mv -T "$state_file.$$" "$state_file"
}

now() {
  local time=$EPOCHREALTIME
  TZ=UTC printf '%(%Y-%m-%dT%H:%M:%S)T.%sZ' "${time%[.,]*}" "${time: -6:3}"
}

# job COMMAND...: runs it as a job, so that a signal finds the worker listening.
job() {
  local code=0
  "$@" </dev/null 8>&- &
  job=$!
  wait "$job" || code=$?
  job=
  return "$code"
}

# failed PHASE ERROR: the first one is the reset's.
failed() {
  printf 'reset: %s: %s\n' "$1" "$2"
  if [[ -z $error ]]; then error="$1: $2"; fi
}

# step PHASE SCRIPT: one script. Whatever becomes of it, the reset goes on: as
# much as possible is to serve afterwards.
step() {
  local phase=$1 code=0
  state "$phase"
  job timeout -k 5 "$step_seconds" "$app_dir/main.sh" -r "$2" >"$answer" || code=$?
  if ((code == 124 || code == 137)); then
    failed "$phase" "$2 took longer than $step_seconds s"
  elif ((code != 0)); then
    failed "$phase" "$(jq -r '.error // empty' "$answer" 2>/dev/null || true)"
  fi
}

# new_epoch: the former keys go out of the way in one step: whoever kills the
# reset leaves all of them or none, and what is aside start-vpn.sh removes.
new_epoch() {
  local keys=$GATEWAY_STATE/vpn aside
  state new-epoch
  [[ -e $keys ]] || return 0
  if ! aside=$(mktemp -d "$GATEWAY_STATE/.vpn-old-XXXXXXXXXX") || ! mv -T "$keys" "$aside"; then
    failed new-epoch "the former keys cannot be removed from $keys"
    return 0
  fi
  rm -rf -- "$aside" || failed new-epoch "the former keys cannot be removed from $aside"
}

# interrupted: the gateway is being stopped.
interrupted() {
  trap '' TERM
  if [[ -n $job ]]; then
    signal TERM "$job"
    wait "$job" || true
  fi
  error="interrupted: the gateway is being stopped"
  exit 1
}

# over: whichever way the worker ends, it says so last.
over() {
  local code=$?
  rm -f "$answer" "$resetting_marker"
  if ((code != 0)) && [[ -z $error ]]; then error="the reset ended with exit code $code"; fi
  if [[ -n $error ]]; then state ended error "$error"; else state ended ok; fi
  rm -f "$pid_file"
  exit "$code"
}

worker() {
  started=$(now) answer=$(mktemp) error='' job=''
  trap over EXIT
  trap '' HUP
  trap interrupted TERM INT
  record "$$" "$pid_file"
  state starting
  mark "$resetting_marker" "$$"

  step stop-vpn lib/stop-vpn.sh
  step stop-app lib/stop-app-gateway.sh
  if ((keep_epoch != 1)); then new_epoch; fi
  step reset-nginx lib/reset-nginx.sh
  step start-vpn lib/start-vpn.sh
  step start-app lib/start-app-gateway.sh
  state await-app
  job "$APP_GATEWAY" reset await-app --timeout "${answer_seconds}s" --pid-file "$GATEWAY_RUN/app.pid" 2>"$answer" ||
    failed await-app "$(tail -n 1 "$answer")"
}

[[ $keep_epoch == [01] ]] || fail "GATEWAY_KEEP_EPOCH is \"$keep_epoch\": give 0 or 1"
if [[ ${1:-} == --worker ]]; then
  worker
  exit 0
fi
mkdir -p "$GATEWAY_RUN"
# The worker inherits the lock, and nobody else: it ends with the worker. A reload
# holds it too.
exec 8>>"$GATEWAY_RUN/lifecycle.lock"
# One that has just said how it ended is still on its way out.
flock -w 0.5 8 || fail "a $(cat "$GATEWAY_RUN/lifecycle.lock") is already running"
echo reset >"$GATEWAY_RUN/lifecycle.lock"
rm -f "$pid_file"
setsid nohup "${BASH_SOURCE[0]}" --worker </dev/null >"$GATEWAY_RUN/reset.log" 2>&1 3>&- &
worker=$!
begun() { [[ $(recorded "$pid_file") == "$worker" ]] && marked "$resetting_marker"; }
await 5 begun || fail "the reset did not begin: see $GATEWAY_RUN/reset.log"
# shellcheck disable=SC2016 # jq's own variable
ok --argjson pid "$worker" '{pid: $pid}'
