#!/usr/bin/env bash
# reset-nginx.sh
#
# Takes nginx back to its base configuration: app-gateway on APP_GATEWAY_PORT and
# on the VPN's address, no services. Starts nginx, or reloads the one that runs,
# and clears its log. Answers {"status":"ok","pid":N,"changed":BOOL}.
set -euo pipefail
# shellcheck source=deploy/gateway/app/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

readonly pid_file=$GATEWAY_RUN/nginx.pid raw_file=$GATEWAY_RUN/nginx.pid.raw
nginx_log=$(dirname "$LOG_FILE")/nginx.log
readonly nginx_log

# The VPN's address is there only while the tunnel is.
allow_vpn_address() {
  local file=/proc/sys/net/ipv4/ip_nonlocal_bind
  [[ $(<"$file") == 1 ]] || { echo 1 >"$file"; } 2>/dev/null ||
    fail "nginx cannot listen on the VPN's address: net.ipv4.ip_nonlocal_bind is not 1"
}

# remove_orphans: workers go on when their master is killed, and keep its ports.
# They are its group, and its pid belongs to nobody else as long as they live.
remove_orphans() {
  local pid
  read -r pid _ <"$pid_file" || return 0
  [[ $pid =~ ^[1-9][0-9]*$ && ! -e /proc/$pid ]] || return 0
  kill -KILL -- "-$pid" 2>/dev/null || return 0
  await 5 not kill -0 -- "-$pid" 2>/dev/null || fail "workers of a former nginx do not end"
}

# written: nginx has its pid file.
written() { [[ -s $raw_file ]]; }

start() {
  local pid error=$GATEWAY_RUN/nginx-start.log
  [[ ! -e $pid_file ]] || remove_orphans
  # What a killed one leaves is in the way of the next.
  rm -f "$raw_file" "$GATEWAY_RUN/nginx-status.sock"
  # nginx keeps none of our files open: whoever waits for our answer would wait for it.
  /usr/sbin/nginx -c "$GATEWAY_RUN/nginx.conf" -e stderr </dev/null >/dev/null 2>"$error" 3>&- ||
    fail "nginx did not start: $(grep -F '[emerg]' "$error" | head -n 1 || true)"
  await 5 written || fail "nginx did not write its pid"
  read -r pid <"$raw_file"
  record "$pid" "$pid_file" || fail "nginx ended as soon as it had started"
}

need APP_GATEWAY_PORT
[[ -x $APP_GATEWAY ]] || fail "there is no build at $APP_GATEWAY"
mkdir -p "$GATEWAY_RUN" "$(dirname "$LOG_FILE")"
: >"$nginx_log"
allow_vpn_address
base=$("$APP_GATEWAY" nginx base 2>&1) || fail "${base#app-gateway: }"
recorded "$pid_file" >/dev/null || start
# shellcheck disable=SC2016 # jq's own variables
ok --argjson base "$base" --argjson pid "$(recorded "$pid_file")" '{pid: $pid, changed: $base.changed}'
