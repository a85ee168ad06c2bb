#!/usr/bin/env bash
# stop-nginx.sh
#
# Ends nginx, and with it the connections that it has.
set -euo pipefail
# shellcheck source=deploy/gateway/app/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=deploy/gateway/app/lib/nginx.bash
source "$app_dir/lib/nginx.bash"

remove_orphans
stop_recorded "$nginx_pid" 2 -g || fail "nginx does not end"
rm -f "$nginx_raw_pid" "$nginx_socket"
ok
