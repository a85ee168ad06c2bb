#!/usr/bin/env bash
# stop-vpn.sh
#
# Stops every OpenVPN server of the gateway and removes its directory with its
# copies of the keys. The keys of the epoch stay.
# Answers {"status":"ok","message":…}.
set -euo pipefail
# shellcheck source=deploy/gateway/app/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=deploy/gateway/app/lib/vpn.bash
source "$app_dir/lib/vpn.bash"

vpn_lock
vpn_clear
ok '{message: "OpenVPN servers stopped successfully"}'
