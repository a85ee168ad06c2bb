# shellcheck shell=bash
# What start-vpn.sh and stop-vpn.sh share. Sourced after common.sh.

readonly vpn_keys=$GATEWAY_STATE/vpn      # of this epoch
readonly vpn_run=$GATEWAY_RUN/vpn         # the server's place and its live clients
readonly vpn_pid=$GATEWAY_RUN/openvpn.pid # in the form of record
readonly vpn_address=172.16.0.1 vpn_device=tun0
vpn_log=$(dirname "$LOG_FILE")/openvpn.log
export vpn_keys vpn_address vpn_device vpn_log

# vpn_lock: alone among the scripts that start and stop the VPN, until the end.
vpn_lock() {
  mkdir -p "$vpn_run"
  exec 8>>"$vpn_run/lock"
  flock -w 20 8 || fail "the VPN is being started or stopped by another script"
}

# vpn_daemon DIR: the pid of the daemon whose directory it is. The pid alone may
# be another process's by now: ours was started with that directory's file.
vpn_daemon() {
  local pid argument
  { read -r pid <"$1/openvpn.pid"; } 2>/dev/null || return 1
  [[ $pid =~ ^[1-9][0-9]*$ ]] && start_time "$pid" >/dev/null || return 1
  # It may end meanwhile.
  {
    while IFS= read -r -d '' argument; do
      [[ $argument != "$1/server.conf" ]] || { printf '%s\n' "$pid" && return; }
    done <"/proc/$pid/cmdline"
  } 2>/dev/null
  return 1
}

# vpn_end PID: ends a daemon. On its first signal OpenVPN tells the clients, so
# that they join again soon, and lets them 2 s; the next one ends it.
vpn_end() {
  local file signals=0 polls
  file=$(mktemp "$vpn_run/ending.XXXXXX")
  record "$1" "$file" || true
  while recorded "$file" >/dev/null && ((signals++ < 10)); do
    kill -TERM "$1" 2>/dev/null || true
    for ((polls = 0; polls < 10; polls++)); do
      recorded "$file" >/dev/null || break
      sleep 0.02
    done
  done
  stop_recorded "$file" 1 || fail "OpenVPN with pid $1 cannot be stopped"
}

# vpn_clear: no daemon, no directory, no rule and no client is left.
vpn_clear() {
  local dir pid
  if pid=$(recorded "$vpn_pid"); then vpn_end "$pid"; fi
  for dir in /tmp/ovpn-*; do
    [[ -d $dir && ! -L $dir ]] || continue
    if pid=$(vpn_daemon "$dir"); then vpn_end "$pid"; fi
    rm -rf "$dir"
  done
  rm -rf "$vpn_pid" "$vpn_run"/{server.json,clients}
  nft -f - <<<'table inet openshell_vpn
delete table inet openshell_vpn' || fail "the firewall of the VPN cannot be removed"
}
