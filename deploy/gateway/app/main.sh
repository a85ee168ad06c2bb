#!/usr/bin/env bash
# main.sh -r bin/NAME.sh
#
# Runs one script of this release with its standard input, and answers with what
# it answered. Whatever else a script does, die or print anything but one JSON
# object that agrees with its exit code, is an error of one JSON object too.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=deploy/gateway/app/lib/common.sh
source lib/common.sh

readonly max_answer=$((4 << 20))

# known NAME: one of the release's scripts, by its exact name?
known() {
  local script
  for script in bin/*.sh lib/*.sh; do
    [[ $script != lib/common.sh && $script == "$1" && -f $script ]] && return
  done
  return 1
}

# patience NAME: seconds to wait for the lock; nothing if it needs none. A reset
# can wait for an update, and the app calls again when its update could not.
patience() {
  case $1 in
    bin/update-nginx-locations.sh) echo 2 ;;
    lib/reset-nginx.sh | lib/stop-nginx.sh | lib/start-vpn.sh | lib/stop-vpn.sh) echo 20 ;;
  esac
}

[[ $# -eq 2 && $1 == -r ]] || fail "usage: main.sh -r bin/NAME.sh"
script=$2
known "$script" || fail "there is no script $script"
[[ -x $script ]] || fail "script $script cannot be executed"

seconds=$(patience "$script")
if [[ -n $seconds ]]; then
  mkdir -p "$GATEWAY_RUN"
  exec 9>>"$GATEWAY_RUN/scripts.lock"
  flock -w "$seconds" 9 || fail "another script is changing the gateway: $script did not get its turn within $seconds s"
fi

# A file, not a pipe: nothing that the script starts can keep us waiting.
file=$(mktemp)
exec 4>"$file"
exec 5<"$file"
rm -f "$file"
code=0
"./$script" >&4 3>&- 4>&- 5<&- 9>&- || code=$?
exec 4>&-

# shellcheck disable=SC2016 # jq's own variables
checked=$(head -c $((max_answer + 1)) <&5 | jq -cs --argjson code "$code" '
  if length == 1 and (.[0] | type == "object") then .[0] else error("no answer") end
  | if .status == "ok" and $code == 0 and (has("error") | not) then .
    elif .status == "error" and $code != 0 and (.error | type == "string" and . != "") then .
    else error("no agreement") end' 2>/dev/null) ||
  fail "script $script ended with exit code $code and without one JSON object that agrees with it"
printf '%s\n' "$checked" >&3
answered=1
exit "$code"
