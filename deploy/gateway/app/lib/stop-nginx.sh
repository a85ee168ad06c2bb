#!/usr/bin/env bash
# stop-nginx.sh
#
# Ends nginx, and with it the connections that it has.
set -euo pipefail
# shellcheck source=deploy/gateway/app/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

stop_recorded "$GATEWAY_RUN/nginx.pid" 2 -g || fail "nginx does not end"
rm -f "$GATEWAY_RUN"/nginx.pid.raw "$GATEWAY_RUN"/nginx-status.sock
ok
