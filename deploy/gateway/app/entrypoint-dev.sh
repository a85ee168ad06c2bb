#!/usr/bin/env bash
# entrypoint-dev.sh
#
# Brings the edge of a gateway up and stays, until SIGTERM takes it down again:
# the app first, so that its last push arrives, then the VPN, then nginx.
set -euo pipefail
# What is asked for is asked for now: no defaults, nothing of an earlier run.
given=${ENV_NAME-}
# shellcheck disable=SC2034 # read by config.conf
environment_file=/dev/null
# shellcheck source=deploy/gateway/app/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

# What scripts that are run later, by exec into the container, are given too.
readonly environment=(GATEWAY_HTTP_PORT GATEWAY_VPN_PORT ENV_NAME DOMAIN GATEWAY_ID GATEWAY_FQDN
  GATEWAY_ALLOWED_HOSTS GATEWAY_POD_CIDR GATEWAY_TOKEN_FILE GATEWAY_START_KEY_FILE GANYMEDE_FQDN GANYMEDE_URL
  GATEWAY_TLS_CERT GATEWAY_TLS_KEY GATEWAY_INACTIVITY GATEWAY_WATCHDOG ALLOWED_ORIGINS BUILD_SERVER_IP BUILD_SERVER_PORT)
# Of the 12 s that a stop may take.
export GATEWAY_STOP_GRACE=${GATEWAY_STOP_GRACE:-7}

# port NAME FIRST LAST
port() {
  local value=${!1:-}
  if ! [[ $value =~ ^[1-9][0-9]{0,4}$ ]] || ((value < $2 || value > $3)); then
    fail "$1 is \"$value\": give a port from $2 to $3"
  fi
}

check() {
  port GATEWAY_HTTP_PORT 7100 7199
  port GATEWAY_VPN_PORT 49100 49199
  [[ $given =~ ^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$ ]] ||
    fail "ENV_NAME is \"$given\": give 1 to 63 of a-z, 0-9 and -, beginning and ending with a letter or digit"
  [[ -x $APP_GATEWAY && -f $GATEWAY_ROOT/current/app/main.sh ]] ||
    fail "there is no build at $GATEWAY_ROOT/current: bin/app-gateway and app/main.sh are needed"
}

remember_environment() {
  local name
  for name in "${environment[@]}"; do
    # shellcheck disable=SC2016 # expanded by config.conf
    if [[ -v $name ]]; then printf 'export %s=${%s-%q}\n' "$name" "$name" "${!name}"; fi
  done >"$GATEWAY_RUN/environment.$$"
  mv -T "$GATEWAY_RUN/environment.$$" "$GATEWAY_RUN/environment"
}

# clear MARKER: unless the process that set it is still at it.
clear() {
  if ! marked "$1"; then rm -f "$1"; fi
}

# start: the reset answers at once; one that runs already will do.
start() {
  local answer
  if ! answer=$(GATEWAY_KEEP_EPOCH=1 setsid --wait "$app_dir/main.sh" -r bin/reset-gateway.sh </dev/null) &&
    ! marked "$resetting_marker"; then
    fail "the reset did not start: $(jq -r .error <<<"$answer")"
  fi
}

# run SCRIPT: in a session of its own, because whoever stops this one signals its
# whole group.
run() { setsid --wait "$app_dir/main.sh" -r "$1" </dev/null >/dev/null || true; }

stop() {
  trap : TERM INT
  printf 'the edge is stopping\n'
  # A reset or a reload would start again what is stopped here.
  stop_recorded "$GATEWAY_RUN/reset.pid" 2 || true
  stop_recorded "$GATEWAY_RUN/reload.pid" 2 || true
  run lib/stop-app-gateway.sh
  run lib/stop-vpn.sh
  run lib/stop-nginx.sh
  rm -f "$resetting_marker" "$reloading_marker"
  for job in $(jobs -p); do signal KILL "$job"; done
  ok
  exit 0
}

check
mkdir -p "$GATEWAY_RUN" "$(dirname "$LOG_FILE")"
remember_environment
clear "$resetting_marker"
clear "$reloading_marker"
ln -sfn "$LOG_FILE" /tmp/gateway.log

trap stop TERM INT
start
"$APP_GATEWAY" reset follow 3>&- &
# Stays; a signal ends the wait at once.
while :; do
  sleep infinity 3>&- &
  wait $! || true
done
