#!/usr/bin/env bash
# gotest.sh unit|engine|e2e|soak|bench MODULE_DIR [GO_TEST_FLAG]...
#
# Runs one kind of tests of a module, in the packages that have that kind. Every
# kind but unit has a build tag of its name, needs a Docker Engine, runs one
# package at a time and is never taken from the cache.
set -euo pipefail
# shellcheck source=tasks/scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly kind=$1 module=$2
shift 2
cd "$root/$module"

# packages_tagged TAG: the packages with a test file under that build constraint.
packages_tagged() {
  local dir package
  go list -tags "$1" -f '{{.Dir}} {{.ImportPath}}' ./... | while read -r dir package; do
    if grep -qsE "^//go:build .*\b$1\b" "$dir"/*_test.go; then echo "$package"; fi
  done
}

flags=()
case $kind in
  unit) packages=(./...) ;;
  engine) flags=(-p 1 -count=1 -timeout 15m) ;;
  e2e) flags=(-p 1 -count=1 -v -timeout 40m) ;;
  soak | bench) flags=(-p 1 -count=1 -v -timeout 6h) ;;
  *) die "unknown kind of tests: $kind" ;;
esac
if [[ $kind != unit ]]; then
  packages=()
  while read -r package; do packages+=("$package"); done < <(packages_tagged "$kind")
  ((${#packages[@]} > 0)) || die "no test in $module has the build tag $kind"
  flags+=(-tags "$kind")
fi
# The tests of the fast deploy skip themselves without it, and say so only with -v.
if [[ $kind:$module == unit:. ]] && ! provide jq; then
  say "NOT RUN: the tests of the fast deploy (jq is not installed)"
fi
if [[ $kind == e2e ]]; then
  # What people use beside openshell.
  if ! provide ssh openssh-client; then die "the scenarios need ssh"; fi
  for tool in rsync curl chromium; do
    provide "$tool" || die "the scenarios need $tool"
  done
  # Compiled before a scenario waits for it.
  go tool -modfile="$root/tools/grpcurl/go.mod" -n grpcurl >/dev/null
fi
say "$kind tests of $module: go test ${flags[*]-} $* ${packages[*]}"
go test "${build_flags[@]}" ${flags[@]+"${flags[@]}"} "$@" "${packages[@]}"
