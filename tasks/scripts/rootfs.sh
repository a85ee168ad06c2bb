#!/usr/bin/env bash
# rootfs.sh NAME ARCH PACKAGE... [/EXCLUDED/PATH]...
#
# Makes a Debian root file system with the essential packages and those named,
# but without the files at the excluded paths (dpkg patterns), as build/rootfs/NAME-<fingerprint>.tar
# unless it is there already, and prints the file's path. It is made from
# debian:bookworm-slim when that can be had, else by mmdebstrap from the Debian
# archive alone.
set -euo pipefail
# shellcheck source=tasks/scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly suite=bookworm
readonly base_image=debian:$suite-slim
readonly name=$1 arch=$2
shift 2
# Long enough for a slow line; an unreachable registry ends it much sooner.
readonly pull_seconds=180

# What nobody reads inside a container. Licences stay.
excluded=(
  '/usr/share/man/*' '/usr/share/info/*' '/usr/share/locale/*' '/usr/share/lintian/*'
  '/usr/share/bash-completion/*' '/usr/share/zoneinfo/right/*' '/usr/share/zoneinfo/posix/*'
  '/usr/share/doc/*'
)
readonly included=('/usr/share/doc/*/copyright')
packages=()
for argument in "$@"; do
  case $argument in
    /*) excluded+=("$argument") ;;
    *) packages+=("$argument") ;;
  esac
done
readonly excluded packages

out=$root/build/rootfs/$name-$(fingerprint "$suite $arch $*" "${BASH_SOURCE[0]}").tar
readonly out
if [[ -s $out ]]; then
  echo "$out"
  exit 0
fi
mkdir -p "$(dirname "$out")"
readonly partial=$out.$$
trap 'rm -f "$partial"' EXIT

# pull: is the base image here, or can it be had within the limit?
pull() {
  docker image inspect "$base_image" >/dev/null 2>&1 && return
  docker pull --quiet "$base_image" >/dev/null 2>&1 &
  local job=$! deadline=$((SECONDS + pull_seconds))
  while kill -0 "$job" 2>/dev/null; do
    if ((SECONDS >= deadline)); then
      kill "$job" 2>/dev/null || true
      break
    fi
    sleep 0.2
  done
  wait "$job" 2>/dev/null
}

from_image() {
  local image=openshell/rootfs-$name:building container path
  {
    printf 'FROM %s\nRUN set -e' "$base_image"
    for path in "${excluded[@]}"; do printf "; echo 'path-exclude=%s' >>/etc/dpkg/dpkg.cfg.d/openshell" "$path"; done
    for path in "${included[@]}"; do printf "; echo 'path-include=%s' >>/etc/dpkg/dpkg.cfg.d/openshell" "$path"; done
    printf '; apt-get update -q; DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends %s' "${packages[*]}"
    # Nothing but what is essential or was asked for; apt last, by its own means.
    printf "; apt-mark auto \$(apt-mark showmanual) >/dev/null; apt-mark manual %s; apt-get autoremove -qy --purge; apt-get clean" "${packages[*]}"
    if [[ " ${packages[*]} " != *' apt '* ]]; then
      # shellcheck disable=SC2016 # expanded by the shell of the build.
      printf '; for p in apt libapt-pkg6.0 gpgv debian-archive-keyring libstdc++6 libgnutls30; do dpkg --purge --force-remove-protected $p || true; done'
    fi
    # The base image already has some of what is excluded.
    for path in "${excluded[@]}"; do [[ $path == /usr/share/doc/* ]] || printf '; rm -rf %s' "$path"; done
    printf '; rm -rf /var/lib/apt/lists/* /var/cache/debconf/*-old /var/log/*.log /var/log/apt\n'
  } | engine_build --quiet --tag "$image" - >/dev/null
  container=$(docker create "$image" true)
  docker export "$container" >"$partial"
  docker rm "$container" >/dev/null
  docker rmi "$image" >/dev/null
}

from_archive() {
  if ! have mmdebstrap; then
    is_debian || die "$base_image cannot be had from a registry, and without one the image can only be built on Debian or Ubuntu"
    is_root || die "$base_image cannot be had from a registry: install mmdebstrap ('sudo apt-get install mmdebstrap debian-archive-keyring') and run this again"
    say "installing mmdebstrap"
    # The keyring is only there by itself on Debian.
    apt_install mmdebstrap debian-archive-keyring
  fi
  local options=() path
  for path in "${excluded[@]}"; do options+=("--dpkgopt=path-exclude=$path"); done
  for path in "${included[@]}"; do options+=("--dpkgopt=path-include=$path"); done
  # shellcheck disable=SC2016 # $1 is the hook's own argument.
  local clean='rm -rf "$1"/var/cache/debconf/*-old "$1"/var/log/*.log "$1"/var/log/apt'
  # usr-is-merged keeps the usrmerge package, and with it all of Perl, out; it
  # wants the merged layout to be there first. The fixed epoch makes the tar
  # depend on the packages alone.
  SOURCE_DATE_EPOCH=1735689600 mmdebstrap --variant=essential --architectures="$arch" \
    --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr \
    --include="usr-is-merged,$(IFS=,; echo "${packages[*]}")" \
    --customize-hook="$clean" --format=tar "${options[@]}" "$suite" "$partial" >&2
}

if pull; then from_image; else from_archive; fi
# One file system a name is kept; an older one will not be asked for again.
rm -f "$root/build/rootfs/$name-"????????????.tar
mv "$partial" "$out"
echo "$out"
