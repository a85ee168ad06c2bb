#!/usr/bin/env bash
# build-image.sh [image|server|binaries]
#
# Builds the node image openshell/cluster:<version> (the default), or only a
# part of it under build/image:
#   server    images/server.tar, images/index.json and the supervisor of
#             sandboxes, for a fast deploy
#   binaries  the programs of the image, for the architecture in ARCH
# Everything is incremental: Go decides what to compile, fingerprints decide the
# rest. The size and time of each part are printed.
set -euo pipefail
# shellcheck source=tasks/scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

# Debian packages of the node: what its scripts and programs call.
readonly base_packages=(
  nginx-light openvpn easy-rsa             # edge
  iptables nftables conntrack              # kube-proxy and the edge's rules
  runc mount iproute2 ca-certificates jq
  '/usr/lib/*/gconv/*' '/usr/share/zoneinfo/*' # no other character sets, no time zone but UTC
)
# What a sandbox starts with. Git is complete enough without the rest of Perl,
# and a sandbox serves no Git.
readonly sandbox_packages=(
  bash git curl python3 ca-certificates apt rsync
  '/usr/lib/*/perl/5*' '/usr/share/perl/5*' '/usr/lib/*/libperl.so*'
  '/usr/lib/git-core/git-daemon' '/usr/lib/git-core/git-http-backend' '/usr/lib/git-core/git-http-push'
  '/usr/lib/git-core/git-imap-send' '/usr/lib/git-core/scalar' '/usr/bin/scalar'
)
# containerd without the snapshotters that need C libraries or other file systems.
readonly containerd_tags='no_btrfs no_devmapper no_zfs no_aufs'
readonly containerd_version_package=github.com/containerd/containerd/v2/version
readonly version_package=openshell.ai/openshell/pkg/version

# report NAME SECONDS [FILE]...: one line of the summary.
report() {
  local name=$1 seconds=$2 bytes=0 file
  shift 2
  for file in "$@"; do bytes=$((bytes + $(size_of "$file"))); done
  printf '    %-22s %9s %5s s\n' "$name" "$(human "$bytes")" "$seconds" >&2
}

# module_version DIR MODULE: as pinned in DIR/go.mod.
module_version() { go -C "$1" list -m -f '{{.Version}}' "$2"; }

# compile DIR OUT LDFLAGS TAGS PACKAGE...: static, reproducible binaries.
compile() {
  local dir=$1 out=$2 ldflags=$3 tags=$4
  shift 4
  mkdir -p "$out"
  GOOS=linux GOARCH=$arch go build -C "$dir" "${build_flags[@]}" \
    -tags "$tags" -ldflags "-s -w $ldflags" -o "$out/" "$@"
}

build_runtime() {
  local start=$SECONDS containerd stamp
  containerd=$(module_version deploy/runtime github.com/containerd/containerd/v2)
  stamp=$(fingerprint "$arch $(go env GOVERSION) $containerd_tags" deploy/runtime/go.mod deploy/runtime/go.sum)
  if [[ ! -f $parts/runtime/$stamp ]]; then
    say "compiling containerd $containerd and the CNI plugins ($arch)"
    rm -rf "$parts/runtime"
    # The package pattern "tool" is every program in go.mod's tool block.
    compile deploy/runtime "$parts/runtime/all" \
      "-X $containerd_version_package.Version=$containerd" "$containerd_tags" tool
    mkdir -p "$parts/runtime/bin" "$parts/runtime/cni"
    mv "$parts"/runtime/all/containerd* "$parts/runtime/bin/"
    mv "$parts"/runtime/all/* "$parts/runtime/cni/"
    rmdir "$parts/runtime/all"
    touch "$parts/runtime/$stamp"
  fi
  report containerd $((SECONDS - start)) "$parts"/runtime/bin/*
  report 'CNI plugins' 0 "$parts"/runtime/cni/*
}

build_kubernetes() {
  local start=$SECONDS kubernetes major minor rest stamps package
  kubernetes=$(module_version deploy/node k8s.io/kubernetes)
  IFS=. read -r major minor rest <<<"${kubernetes#v}"
  # Upstream leaves these to the linker; kubectl refuses a version of v0.0.0-master.
  for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    stamps+=" -X $package.gitVersion=$kubernetes -X $package.gitMajor=$major -X $package.gitMinor=$minor -X $package.gitTreeState=clean"
  done
  say "compiling Kubernetes $kubernetes ($arch; minutes the first time)"
  compile deploy/node "$parts/kube" "${stamps# }" '' ./cmd/openshell-kube
  report openshell-kube $((SECONDS - start)) "$parts/kube/openshell-kube"
}

build_node() {
  local start=$SECONDS kubernetes
  kubernetes=$(module_version deploy/node k8s.io/kubernetes)
  compile deploy/node "$parts/node" \
    "-X $version_package.Version=$version -X openshell.ai/openshell/deploy/node/internal/node.Kubernetes=$kubernetes" '' ./cmd/openshell-node
  compile deploy/node "$parts/node-cni" '' '' ./cmd/openshell-cni
  report openshell-node $((SECONDS - start)) "$parts/node/openshell-node" "$parts/node-cni/openshell-cni"
}

build_server() {
  local start=$SECONDS
  compile . "$parts/server" "-X $version_package.Version=$version" '' ./cmd/openshell-server
  compile . "$parts/supervisor" "-X $version_package.Version=$version" '' ./cmd/openshell-sandbox
  compile . "$parts/edge" "-X $version_package.Version=$version" '' ./cmd/app-gateway
  compile . "$parts/pause" '' '' ./deploy/pause
  report openshell-server $((SECONDS - start)) "$parts/server/openshell-server"
  report openshell-sandbox 0 "$parts/supervisor/openshell-sandbox"
  report app-gateway 0 "$parts/edge/app-gateway"
}

# The images that pods run. The supervisor is in the server's for clusters whose
# nodes do not carry it.
#
# pause runs as the node's own user: without CAP_SYS_PTRACE runc may not join
# the namespaces of a process of another one.
pack_pause_and_server() {
  mkdir -p "$parts/images"
  run_mkimage image -dir "$parts/images" -arch "$arch" -name pause \
    -file "$parts/pause/pause=/pause" -entrypoint /pause
  run_mkimage image -dir "$parts/images" -arch "$arch" -name server \
    -file "$parts/server/openshell-server=/openshell-server" -file "$parts/supervisor/openshell-sandbox=/openshell-sandbox" \
    -zstd fastest -user 1000 -entrypoint /openshell-server
}

pack_sandbox() {
  local start=$SECONDS rootfs=$1 stamp
  stamp=$parts/images/.$(basename "$rootfs").$(fingerprint "" tasks/mkimage/*.go)
  if [[ ! -f $stamp ]]; then
    rm -f "$parts"/images/.sandbox-*
    run_mkimage image -dir "$parts/images" -arch "$arch" -name sandbox -rootfs "$rootfs" -zstd best \
      -env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin -cmd /bin/bash
    touch "$stamp"
  fi
  report 'sandbox image' $((SECONDS - start)) "$parts/images/sandbox.tar"
}

run_mkimage() { "$root/build/mkimage" "$@" >/dev/null; }

build_mkimage() { go build "${build_flags[@]}" -o build/mkimage ./tasks/mkimage; }

# The base image is the root file system as it is; its tag is its fingerprint.
import_base() {
  local start=$SECONDS rootfs=$1
  base=openshell/base:$(basename "$rootfs" .tar | sed 's/^base-//')
  if ! docker image inspect "$base" >/dev/null 2>&1; then
    docker import --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' "$rootfs" "$base" >/dev/null
  fi
  report 'Debian base' $((SECONDS - start)) "$rootfs"
}

# content FILE: its fingerprint, or where it leads to: that may be nowhere here.
content() { if [[ -L $1 ]]; then readlink "$1"; else sha256 <"$1"; fi; }

# docker_build IMAGE BASE CONTEXT BUILD_ARG...: unless IMAGE was made from the same.
docker_build() {
  local image=$1 from=$2 context=$3 inputs argument arguments=()
  shift 3
  find "$context" -type d -exec chmod 0755 {} +
  inputs=$(cd "$context" && find . ! -type d | LC_ALL=C sort | while read -r file; do
    printf '%s %s\n' "$file" "$(content "$file")"
  done | { echo "$from $*"; cat; } | sha256)
  if [[ $(docker image inspect --format '{{index .Config.Labels "openshell.ai/inputs"}}' "$image" 2>/dev/null) != "$inputs" ]]; then
    for argument in "$@"; do arguments+=(--build-arg "$argument"); done
    engine_build --quiet --pull=false \
      --build-arg "BASE=$from" --build-arg "INPUTS=$inputs" ${arguments[@]+"${arguments[@]}"} \
      --tag "$image" "$context" >"$parts/build.log" 2>&1 || {
      cat "$parts/build.log" >&2
      die "docker build of $image"
    }
  fi
  rm -rf "$context"
}

# fresh_context DIR...: an empty build context with these directories. Programs
# and archives are linked into it, not copied.
fresh_context() {
  local dir
  context=$parts/context
  rm -rf "$context"
  for dir in "$@"; do mkdir -p "$context/$dir"; done
}

# What our own daily changes do not touch is an image of its own, so that they
# need not be sent to the engine again.
build_runtime_image() {
  local start=$SECONDS
  runtime_image=openshell/runtime:$(fingerprint "$base" "$parts"/runtime/*/* "$parts/images/sandbox.tar" "$parts/kube/openshell-kube" deploy/docker/Dockerfile.runtime)
  if docker image inspect "$runtime_image" >/dev/null 2>&1; then
    report_image "$runtime_image" $((SECONDS - start))
    return
  fi
  fresh_context runtime cni sandbox kube
  ln "$parts"/runtime/bin/* "$context/runtime/"
  ln "$parts"/runtime/cni/* "$context/cni/"
  ln "$parts/images/sandbox.tar" "$context/sandbox/"
  ln "$parts/kube/openshell-kube" "$context/kube/"
  ln -s openshell-kube "$context/kube/kubectl"
  cp deploy/docker/Dockerfile.runtime "$context/Dockerfile"
  docker_build "$runtime_image" "$base" "$context"
  report_image "$runtime_image" $((SECONDS - start))
}

build_cluster_image() {
  local start=$SECONDS
  run_mkimage index -dir "$parts/images" pause server sandbox
  fresh_context node cni supervisor images charts manifests scripts release/app release/bin links/opt
  ln "$parts/node/openshell-node" "$context/node/"
  ln "$parts/node-cni/openshell-cni" "$context/cni/"
  ln "$parts/supervisor/openshell-sandbox" "$context/supervisor/"
  ln "$parts"/images/{pause.tar,server.tar,index.json} "$context/images/"
  ln "$parts/edge/app-gateway" "$context/release/bin/"
  cp -R deploy/gateway/app/. "$context/release/app/"
  # The edge's places on the volume, under the names that its scripts know.
  ln -s /var/lib/openshell/current/edge/gateway "$context/links/opt/gateway"
  ln -s /opt/gateway/app "$context/links/app"
  ln -s /var/lib/openshell/current/edge/logs "$context/links/logs"
  cp -R deploy/helm/. "$context/charts/"
  cp -R deploy/kube/manifests/. "$context/manifests/"
  cp deploy/docker/*.sh "$context/scripts/"
  cp deploy/docker/Dockerfile "$context/"
  chmod -R go=u,go-w "$context"/{charts,manifests,release}
  chmod 0755 "$context"/scripts/*
  docker_build "$image" "$runtime_image" "$context" "VERSION=$version"
  report_image "$image" $((SECONDS - start))
}

# remove_superseded IMAGE...: removes the other tags of these repositories. A
# node image made from one keeps its layers.
remove_superseded() {
  local current other
  for current in "$@"; do
    docker image ls --format '{{.Repository}}:{{.Tag}}' "${current%%:*}" | while read -r other; do
      if [[ $other == *:'<none>' || $other == "$current" ]]; then continue; fi
      docker image rm "$other" >/dev/null 2>&1 || say "cannot remove $other"
    done
  done
}

report_image() {
  printf '    %-22s %9s %5s s\n' "${1%%:*}" "$(human "$(docker image inspect --format '{{.Size}}' "$1")")" "$2" >&2
}

build_image() {
  local log=$parts/rootfs.log base_tar sandbox_tar
  image=openshell/cluster:$version
  say "node image $image ($arch)"
  build_mkimage
  # Bound by the network, so beside the compilers; what it has to say is seen at
  # once. It is a process group, which ends with this script, and it does not
  # hold the lock.
  set -m
  (
    {
      tasks/scripts/rootfs.sh base "$arch" "${base_packages[@]}" >"$parts/base.path" &&
        tasks/scripts/rootfs.sh sandbox "$arch" "${sandbox_packages[@]}" >"$parts/sandbox.path"
    } 2>&1 | tee "$log" | while IFS= read -r line; do
      case $line in '==> '* | 'error: '*) printf '%s\n' "$line" >&2 ;; esac
    done
  ) </dev/null 9>&- &
  rootfs_job=$!
  set +m
  trap 'kill -- "-$rootfs_job" 2>/dev/null || true' EXIT
  build_kubernetes
  build_runtime
  build_node
  build_server
  pack_pause_and_server
  wait "$rootfs_job" || {
    cat "$log" >&2
    die "Debian root file systems"
  }
  trap - EXIT
  base_tar=$(<"$parts/base.path")
  sandbox_tar=$(<"$parts/sandbox.path")
  import_base "$base_tar"
  pack_sandbox "$sandbox_tar"
  build_runtime_image
  build_cluster_image
  remove_superseded "$base" "$runtime_image"
  say "$image is ready ($SECONDS s)"
}

main() {
  version=$(tasks/scripts/version.sh)
  arch=${ARCH:-$(node_arch)}
  parts=$root/build/image/$arch
  mkdir -p "$parts"
  # Two builds at once would take each other's context away.
  if command -v flock >/dev/null; then
    exec 9>"$parts/.lock"
    flock -n 9 || {
      say "waiting for another build"
      flock 9
    }
  fi
  case ${1:-image} in
    image) build_image ;;
    server)
      build_mkimage
      build_server
      pack_pause_and_server
      run_mkimage index -dir "$parts/images" pause server
      ;;
    binaries)
      build_kubernetes
      build_runtime
      build_node
      build_server
      ;;
    *) die "usage: build-image.sh [image|server|binaries]" ;;
  esac
}
main "$@"
