# shellcheck shell=bash
# Sourced by the scripts that start and stop nginx, after common.sh.
readonly nginx_pid=$GATEWAY_RUN/nginx.pid nginx_raw_pid=$GATEWAY_RUN/nginx.pid.raw nginx_socket=$GATEWAY_RUN/nginx-status.sock
export nginx_raw_pid nginx_socket

# remove_orphans: workers go on when their master is killed, and keep its ports.
# They are its group, and nobody else gets its pid as long as they live.
remove_orphans() {
  local pid
  { read -r pid _ <"$nginx_pid"; } 2>/dev/null || return 0
  [[ $pid =~ ^[1-9][0-9]*$ ]] && ! start_time "$pid" >/dev/null || return 0
  kill -KILL -- "-$pid" 2>/dev/null || return 0
  await 5 not kill -0 -- "-$pid" 2>/dev/null || true
}
