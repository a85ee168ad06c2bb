#!/usr/bin/env bash
# Compiles the CLI for every platform it runs on, and the programs of the node
# for both architectures. Nothing is kept but Go's own cache.
set -euo pipefail
# shellcheck source=tasks/scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

for os in linux darwin windows; do
  for arch in amd64 arm64; do
    start=$SECONDS
    GOOS=$os GOARCH=$arch go build "${build_flags[@]}" -o "build/cross/$os-$arch/" ./cmd/openshell
    say "openshell for $os/$arch: $(human "$(size_of build/cross/$os-$arch/openshell*)"), $((SECONDS - start)) s"
  done
done
for arch in amd64 arm64; do
  say "programs of the node for linux/$arch"
  ARCH=$arch tasks/scripts/build-image.sh binaries
done
