#!/usr/bin/env bash
# gotest.sh unit|engine|timed|scenarios|e2e|soak|bench MODULE_DIR [GO_TEST_FLAG]...
#
# Runs one kind of tests of a module, in the packages that have that kind, and
# ends with a summary of what failed or was skipped. Every kind but unit needs a
# Docker Engine and is never taken from the cache; its build tag has its name,
# except for those of e2e: timed are the tests that hold something to a time,
# whose names end in InTime, one after the other, and scenarios are the others,
# several at once. Everything that was said is in build/tests.
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

if [[ $kind == e2e && $# == 0 ]]; then
  "$root/tasks/scripts/gotest.sh" timed "$module"
  exec "$root/tasks/scripts/gotest.sh" scenarios "$module"
fi

flags=()
format=testname
tag=$kind
case $kind in
  unit) packages=(./...) format=pkgname ;;
  engine) flags=(-p 1 -count=1 -timeout 15m) format=pkgname ;;
  timed) tag=e2e flags=(-p 1 -parallel 1 -count=1 -timeout 20m -run 'InTime$') ;;
  # Two at a time: with more, two cores are never idle and timers fire late.
  scenarios) tag=e2e flags=(-p 1 -parallel 2 -count=1 -timeout 55m -skip 'InTime$') ;;
  e2e) flags=(-p 1 -parallel 2 -count=1 -timeout 40m) format=standard-verbose ;;
  soak | bench) flags=(-p 1 -count=1 -timeout 6h) format=standard-verbose ;;
  *) die "unknown kind of tests: $kind" ;;
esac
if [[ $kind != unit ]]; then
  packages=()
  while read -r package; do packages+=("$package"); done < <(packages_tagged "$tag")
  ((${#packages[@]} > 0)) || die "no test in $module has the build tag $tag"
  flags+=(-tags "$tag")
fi
# The tests of the fast deploy skip themselves without it, and say so only with -v.
if [[ $kind:$module == unit:. ]] && ! provide jq; then
  say "NOT RUN: the tests of the fast deploy (jq is not installed)"
fi
if [[ $kind:$module == unit:deploy/node ]]; then
  if ! provide nft nftables || ! provide ip iproute2; then say "NOT RUN: the tests of the node's firewall (nft or ip is not installed)"; fi
  if ! provide strace; then say "NOT RUN: kills in the middle of a restore (strace is not installed)"; fi
fi
if [[ $tag == e2e ]]; then
  # What people use beside openshell.
  if ! provide ssh openssh-client; then die "the scenarios need ssh"; fi
  for tool in rsync curl chromium; do
    provide "$tool" || die "the scenarios need $tool"
  done
  # Compiled before a scenario waits for it.
  go tool -modfile="$root/tools/grpcurl/go.mod" -n grpcurl >/dev/null
fi
mkdir -p "$root/build/tests"
name=$kind-${module//\//-}
name=${name%-.}
say "$kind tests of $module: go test ${flags[*]-} $* ${packages[*]}"
code=0
go tool -modfile="$root/tools/gotestsum/go.mod" gotestsum --format "$format" --format-hide-empty-pkg \
  --jsonfile "$root/build/tests/$name.json" \
  -- "${build_flags[@]}" ${flags[@]+"${flags[@]}"} "$@" "${packages[@]}" || code=$?
if [[ $kind == soak ]]; then
  # What the tests sum up stands together at the end.
  say "soak: $SECONDS s, exit code $code"
  sed -nE 's/.*"Output":" *[a-z0-9_]+_test[.]go:[0-9]+: summary: (.*)\\n".*/    \1/p' "$root/build/tests/$name.json"
fi
exit "$code"
