#!/usr/bin/env bash
# lint.sh
#
# Runs every check that reads code without running it, over all modules, and
# names those that failed at the end. A check that could not be made is said to
# be "not checked"; it is never reported as passed.
set -euo pipefail
# shellcheck source=tasks/scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

# Modules with code of our own, and those with nothing but tests of what the
# tools they pin make of it.
readonly modules=(. deploy/node)
readonly test_modules=(tools/crd tools/helm tools/proto)
readonly tools=$root/tools
readonly test_tags=engine,e2e,soak,bench

failed=()
unchecked=()

# check NAME COMMAND...: runs it, and remembers a failure.
check() {
  local name=$1 start=$SECONDS
  shift
  if "$@"; then
    say "$name: ok ($((SECONDS - start)) s)"
  else
    say "$name: FAILED"
    failed+=("$name")
  fi
}

sources() { git ls-files --cached --others --exclude-standard -- "$@"; }

formatted() {
  local files
  files=$(sources '*.go' | while read -r file; do
    if [[ -f $file ]]; then gofmt -l "$file"; fi
  done)
  [[ -z $files ]] && return
  printf 'not formatted by gofmt:\n%s\n' "$files" >&2
  return 1
}

vetted() (
  cd "$1"
  go vet "${build_flags[@]}" -tags "$test_tags" ./...
)

# The linter and govulncheck load packages through go, which is told the usual
# flags by GOFLAGS, so that nothing is compiled twice.
with_go_flags() { GOFLAGS="${GOFLAGS:-} ${build_flags[*]}" "$@"; }

# Packages that contain all of Kubernetes. Linters that need facts about every
# dependency load it all at once there: 6 GB of memory, and a quarter of an hour.
# go vet, which takes one package at a time, looks at them all the same.
readonly heavy='/(cmd/openshell-kube|internal/controlplane|internal/kubenode)$'

linted() (
  local packages=() enormous=() package
  cd "$1"
  while read -r package; do
    if [[ $package =~ $heavy ]]; then enormous+=("$package"); else packages+=("$package"); fi
  done < <(go list -f '{{.Dir}}' ./...)
  # Inside a condition, bash does not end a function at a failure by itself.
  golangci "${packages[@]}" || return
  if ((${#enormous[@]} > 0)); then golangci --disable 'govet,staticcheck,unused,bodyclose' "${enormous[@]}"; fi
)

golangci() {
  with_go_flags go tool -modfile="$tools/lint/go.mod" golangci-lint run --config "$root/.golangci.yml" --allow-parallel-runners "$@"
}

shell_checked() {
  local scripts=() file
  while read -r file; do scripts+=("$file"); done < <(
    sources | while read -r file; do
      # Scripts without a suffix are known by their first line.
      if [[ -f $file ]] && head -n 1 "$file" | grep -qE '^#!.*\b(ba)?sh\b|^# shellcheck shell='; then echo "$file"; fi
    done
  )
  shellcheck --external-sources --source-path="$root" "${scripts[@]}"
}

# scan_vulnerabilities MODULE: govulncheck ends with 3 when it found something; anything
# else that is not 0 means that it could not look.
scan_vulnerabilities() {
  local module=$1 pattern=./... log status=0
  # This module has no package of its own, only the programs it pins.
  if [[ $module == deploy/runtime ]]; then pattern=tool; fi
  log=$(mktemp)
  (cd "$module" && with_go_flags go tool -modfile="$tools/vuln/go.mod" govulncheck "$pattern") >"$log" 2>&1 || status=$?
  case $status in
    0) say "govulncheck $module: ok" ;;
    3)
      cat "$log" >&2
      failed+=("govulncheck $module")
      ;;
    *)
      tail -n 3 "$log" >&2
      if grep -q 'fetching vulnerabilities' "$log"; then
        unchecked+=("govulncheck $module (the vulnerability database cannot be reached)")
      else
        failed+=("govulncheck $module")
      fi
      ;;
  esac
  rm -f "$log"
}

check gofmt formatted
for module in "${modules[@]}"; do
  check "go vet $module" vetted "$module"
  check "golangci-lint $module" linted "$module"
done
for module in "${test_modules[@]}"; do check "go vet $module" vetted "$module"; done
if provide shellcheck; then
  check shellcheck shell_checked
else
  unchecked+=("shellcheck (it is not installed)")
fi
for module in "${modules[@]}" deploy/runtime; do
  scan_vulnerabilities "$module"
done

for name in ${unchecked[@]+"${unchecked[@]}"}; do say "NOT CHECKED: $name"; done
if ((${#failed[@]} > 0)); then
  die "lint failed: ${failed[*]}"
fi
say "lint: ok${unchecked[*]+, except for what was not checked}"
