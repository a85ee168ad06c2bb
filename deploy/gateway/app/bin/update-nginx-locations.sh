#!/usr/bin/env bash
# update-nginx-locations.sh
#
# Makes nginx lead to the services on standard input, "host ip port" a line, and
# no others. A line that is not accepted changes nothing. Answers
# {"status":"ok","changed":BOOL,"services":N}.
set -euo pipefail
# shellcheck source=deploy/gateway/app/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"

need APP_GATEWAY_PORT
[[ -x $APP_GATEWAY ]] || fail "there is no build at $APP_GATEWAY"
result=$("$APP_GATEWAY" nginx update 2>&1) || fail "${result#app-gateway: }"
# shellcheck disable=SC2016 # jq's own variable
ok --argjson result "$result" '$result | {changed, services}'
