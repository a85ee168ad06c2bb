#!/usr/bin/env bash
# Makes sure that a Docker Engine answers: at once where one does (DOCKER_HOST
# and Docker contexts are respected), by installing and starting it on Debian
# and Ubuntu as root. An engine that runs is never restarted, and one that the
# user chose is never replaced.
set -euo pipefail
# shellcheck source=tasks/scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly wait_seconds=60
readonly dockerd_log=$root/build/dockerd.log

answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

wait_for_engine() {
  local deadline=$((SECONDS + wait_seconds))
  until answers; do
    if ((SECONDS >= deadline)); then return 1; fi
    sleep 0.5
  done
}

# A machine without an init system: the daemon gets a session of its own, so
# that it outlives this script.
start_directly() {
  have dockerd || die "the Docker Engine does not answer and dockerd is not installed"
  say "starting dockerd (log: build/dockerd.log)"
  mkdir -p "$root/build"
  setsid nohup dockerd >>"$dockerd_log" 2>&1 </dev/null &
  wait_for_engine && return
  tail -n 20 "$dockerd_log" >&2
  die "dockerd did not answer within $wait_seconds s; its log is $dockerd_log"
}

start_engine() {
  if [[ -d /run/systemd/system ]]; then
    systemctl start docker || true
    wait_for_engine || die "the Docker Engine did not answer within $wait_seconds s: see 'journalctl -u docker'"
  elif pgrep -x dockerd >/dev/null 2>&1; then
    # Started by the package, or by someone else: it may still be coming up.
    wait_for_engine || die "dockerd runs but does not answer within $wait_seconds s"
  else
    start_directly
  fi
}

if have docker && answers; then exit 0; fi

if [[ -n ${DOCKER_HOST:-} ]]; then
  die "no Docker Engine answers at DOCKER_HOST=$DOCKER_HOST"
fi
if have docker; then
  context=$(docker context show 2>/dev/null || echo default)
  [[ $context == default ]] || die "no Docker Engine answers in the Docker context '$context'"
fi
if ! is_debian; then
  die "no Docker Engine answers: install and start Docker, then run this again"
fi
if ! is_root; then
  if have docker; then
    die "no Docker Engine answers for $(id -un): start it ('sudo systemctl start docker') and see that $(id -un) may use it (group docker)"
  fi
  die "Docker is not installed: run 'sudo apt-get install docker.io', or run this as root"
fi
if ! have dockerd; then
  say "installing docker.io (no Docker Engine was found)"
  # iptables and ca-certificates are only recommended, but the engine needs them.
  apt_install docker.io iptables ca-certificates
fi
# Since Debian 13 the command is a package of its own, which docker.io only
# recommends; before, there was no such package.
have docker || apt_install docker-cli
start_engine
say "Docker Engine $(docker version --format '{{.Server.Version}}') answers"
