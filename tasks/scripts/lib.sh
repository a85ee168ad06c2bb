# shellcheck shell=bash
# Shared by the scripts of this directory, which run with the bash of Debian
# and with the older one of macOS. To be sourced.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
readonly root

# Everything is pure Go: static programs, and no C compiler is needed.
export CGO_ENABLED=0

say() { printf '==> %s\n' "$*" >&2; }

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# sha256 [FILE]...: of each file, or of standard input; in hex, a line each.
sha256() { if have sha256sum; then sha256sum "$@"; else shasum -a 256 "$@"; fi | cut -d' ' -f1; }

# fingerprint TEXT [FILE]...: 12 hex digits over the text and the files' contents.
fingerprint() {
  local text=$1
  shift
  {
    printf '%s\n' "$text"
    if [[ $# -gt 0 ]]; then sha256 "$@"; fi
  } | sha256 | cut -c1-12
}

# human BYTES: megabytes, as Docker counts them.
human() { awk -v n="$1" 'BEGIN { printf "%.1f MB", n / 1e6 }'; }

size_of() { wc -c <"$1" | tr -d ' '; }

# is_root: may packages be installed and daemons be started?
is_root() { [[ $(id -u) -eq 0 ]]; }

# is_debian: a system of the Debian family, with apt.
is_debian() { [[ -r /etc/debian_version ]] && have apt-get; }

# apt_install PACKAGE...: quietly, without a question; the log is shown when it fails.
apt_install() {
  local log=$root/build/apt.log
  mkdir -p "$root/build"
  # Checks and scenarios run at the same time, and apt does not wait for itself.
  if ! {
    flock 7 &&
      apt-get update -q &&
      DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "$@" 7>&-
  } >"$log" 2>&1 7>"$root/build/apt.lock"; then
    cat "$log" >&2
    die "apt-get could not install: $*"
  fi
}

# provide TOOL [PACKAGE]: is it there, if need be by installing the package, of
# the same name unless given?
provide() {
  have "$1" && return
  is_debian && is_root || return
  say "installing ${2:-$1}"
  apt_install "${2:-$1}"
}

# engine_build DOCKER_BUILD_ARGUMENT...: by the engine's own builder, or the
# classic one where there is no other. Both see the engine's images, and leave
# theirs there.
engine_build() { BUILDX_BUILDER=$(docker context show 2>/dev/null </dev/null || echo default) docker build "$@"; }

# node_arch: architecture of the machine that runs the engine's containers, as in GOARCH.
node_arch() { docker version --format '{{.Server.Arch}}'; }

# What every compilation has in common, so that builds, tests and checks share
# Go's cache.
# shellcheck disable=SC2034 # used by the scripts that source this one
readonly build_flags=(-trimpath -buildvcs=false)
