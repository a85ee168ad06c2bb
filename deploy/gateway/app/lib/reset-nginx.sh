#!/usr/bin/env bash
# reset-nginx.sh
#
# Takes nginx back to its base configuration: app-gateway on APP_GATEWAY_PORT and
# on the VPN's address, no services. Starts nginx, or reloads the one that runs,
# and clears its log. Answers {"status":"ok","pid":N,"changed":BOOL}.
set -euo pipefail
# shellcheck source=deploy/gateway/app/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=deploy/gateway/app/lib/nginx.bash
source "$app_dir/lib/nginx.bash"

nginx_log=$(dirname "$LOG_FILE")/nginx.log
readonly nginx_log

# The VPN's address is there only while the tunnel is.
allow_vpn_address() {
  local file=/proc/sys/net/ipv4/ip_nonlocal_bind
  [[ $(<"$file") == 1 ]] || { echo 1 >"$file"; } 2>/dev/null ||
    fail "nginx cannot listen on the VPN's address: net.ipv4.ip_nonlocal_bind is not 1"
}

# written: nginx has its pid file.
written() { [[ -s $nginx_raw_pid ]]; }

start() {
  local pid error=$GATEWAY_RUN/nginx-start.log
  remove_orphans
  # What a killed one leaves is in the way of the next.
  rm -f "$nginx_raw_pid" "$nginx_socket"
  # nginx keeps none of our files open: whoever waits for our answer would wait for it.
  /usr/sbin/nginx -c "$GATEWAY_RUN/nginx.conf" -e stderr </dev/null >/dev/null 2>"$error" 3>&- ||
    fail "nginx did not start: $(grep -F '[emerg]' "$error" | head -n 1 || true)"
  await 5 written || fail "nginx did not write its pid"
  read -r pid <"$nginx_raw_pid"
  record "$pid" "$nginx_pid" || fail "nginx ended as soon as it had started"
}

need APP_GATEWAY_PORT
[[ -x $APP_GATEWAY ]] || fail "there is no build at $APP_GATEWAY"
mkdir -p "$GATEWAY_RUN" "$(dirname "$LOG_FILE")"
: >"$nginx_log"
allow_vpn_address
base=$("$APP_GATEWAY" nginx base 2>&1) || fail "${base#app-gateway: }"
recorded "$nginx_pid" >/dev/null || start
# shellcheck disable=SC2016 # jq's own variables
ok --argjson base "$base" --argjson pid "$(recorded "$nginx_pid")" '{pid: $pid, changed: $base.changed}'
