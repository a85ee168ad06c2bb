# shellcheck shell=bash
# Sourced by every script of the edge. A script prints exactly one JSON object
# on stdout, and its exit code agrees with the object's status; what a person
# reads goes to stderr.
set -euo pipefail

app_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=deploy/gateway/app/config.conf
source "$app_dir/config.conf"
umask 077

readonly resetting_marker=/tmp/gateway-resetting reloading_marker=/tmp/gateway-reloading
export resetting_marker reloading_marker

# The script's one answer. Commands write to stderr from here on. A process that
# outlives the script is started with 3>&-, lest it keep the answer's pipe open.
#
# main.sh holds $GATEWAY_RUN/scripts.lock while a script changes nginx or the
# VPN, so that such scripts run one at a time; they take no lock themselves.
exec 3>&1 1>&2
answered=

# ok [JQ-ARGUMENT...]: answers {"status":"ok"} and what a last argument, a jq
# expression of an object, adds to it.
ok() {
  local extra={}
  if (($# > 0)); then
    extra=${*: -1}
    set -- "${@:1:$#-1}"
  fi
  jq -nc "$@" "{status: \"ok\"} + ($extra)" >&3
  answered=1
}

# fail MESSAGE: answers with an error and ends the script.
fail() {
  jq -nc --arg error "$1" '{status: "error", error: $error}' >&3
  answered=1
  printf '%s: %s\n' "$(basename "$0")" "$1" >&2
  exit 1
}

# Whatever ends a script without an answer is an error by itself. A script with a
# trap of its own for that passes the exit code on.
finish() {
  local code=${1:-$?}
  if [[ -z $answered ]]; then
    jq -nc --arg error "$(basename "$0") ended with exit code $code before it had an answer" '{status: "error", error: $error}' >&3
    ((code != 0)) || code=1
  fi
  exit "$code"
}
trap finish EXIT

need() {
  local name
  for name in "$@"; do
    [[ -n ${!name:-} ]] || fail "$name is not set"
  done
}

# start_time PID: when the kernel started it, in ticks; nothing if it is gone or
# only waits to be reaped.
start_time() {
  local stat=
  # $(<FILE) of a file that is not there would end the script, whatever follows.
  { read -r -d '' stat <"/proc/$1/stat" || [[ -n $stat ]]; } 2>/dev/null || return 1
  # The name in parentheses may contain anything.
  read -r -a stat <<<"${stat##*) }"
  [[ ${stat[0]} != Z && ${stat[0]} != X ]] || return 1
  printf '%s\n' "${stat[19]}"
}

# record PID FILE: remembers a process so that a recycled pid is not taken for it.
record() {
  local started
  started=$(start_time "$1") || return 1
  printf '%s %s\n' "$1" "$started" >"$2.$$" && mv "$2.$$" "$2"
}

# recorded FILE: the pid of the process that the file remembers, if it runs.
recorded() {
  local pid started
  { read -r pid started _ <"$1"; } 2>/dev/null || return 1
  [[ $pid =~ ^[1-9][0-9]*$ && $(start_time "$pid") == "$started" ]] || return 1
  printf '%s\n' "$pid"
}

# await SECONDS COMMAND...: polls until it succeeds.
await() {
  local deadline=$((${EPOCHREALTIME/./} + $1 * 1000000))
  shift
  until "$@"; do
    ((${EPOCHREALTIME/./} < deadline)) || return 1
    sleep 0.02
  done
}

# stop_recorded FILE SECONDS [-g]: ends the remembered process, with -g its whole
# group if it leads one, first kindly. The file is gone afterwards.
stop_recorded() {
  local file=$1 grace=$2 group='' pid
  [[ ${3:-} != -g ]] || group=-
  if pid=$(recorded "$file"); then
    signal TERM "$group$pid"
    if ! await "$grace" not recorded "$file" >/dev/null; then
      signal KILL "$group$pid"
      await 5 not recorded "$file" >/dev/null || return 1
    elif [[ -n $group ]]; then
      # What the leader left behind had its time too.
      kill -KILL -- "-$pid" 2>/dev/null || true
    fi
  fi
  rm -f "$file"
}

# signal NAME PID|-PGID: a process that leads no group is signalled alone.
signal() { kill -"$1" -- "$2" 2>/dev/null || kill -"$1" -- "${2#-}" 2>/dev/null || true; }

# mark FILE PID: sets a marker, in one step: the process whose work it announces,
# and the time.
mark() {
  local started
  started=$(start_time "$2") || return 1
  printf '%s %s %s\n' "$2" "$started" "$EPOCHSECONDS" >"$1.$$" && mv -T "$1.$$" "$1"
}

# marked FILE: is the marker set? Not if its process is gone, or has been at it
# for longer than anything takes.
marked() {
  local pid started since
  { read -r pid started since <"$1"; } 2>/dev/null || return 1
  [[ $since =~ ^[0-9]+$ ]] && ((EPOCHSECONDS - since < 300)) && recorded "$1" >/dev/null
}

not() { ! "$@"; }
