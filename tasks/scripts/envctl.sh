#!/usr/bin/env bash
# Bring a change of the edge into the gateways of an environment that run:
#
#   envctl.sh restart ENV gateway [--trust]
#
# Rebuilds app-gateway, validates and packs it with the scripts, signs the build,
# serves it on a port of this machine for as long as it takes, and has each
# gateway reload. VPN, routes and allocation stay. A gateway that cannot use the
# build keeps the one that it has. The exit code is the number of gateways that
# failed.
#
# Builds are signed with a key of this machine, which is made when there is none.
# A gateway takes only builds signed with the key that it knows: --trust gives it
# this one. ENV is the gateway's name. BUILD_SERVER_IP is this machine as the
# gateways see it, if their network's own gateway is not.
set -euo pipefail
# shellcheck source=tasks/scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly usage='usage: envctl.sh restart ENV gateway [--trust]'
readonly reload=/opt/gateway/app/lib/reload-gateway.sh
readonly public_key=/var/lib/openshell/current/edge/build.pub
readonly keys=${XDG_CONFIG_HOME:-$HOME/.config}/openshell/build
readonly patience=50 # tenths of a second for the build server to say its address

usage_error() {
  printf 'error: %s\n%s\n' "$1" "$usage" >&2
  exit 2
}

[[ ${1:-} != -h && ${1:-} != --help ]] || {
  echo "$usage"
  exit 0
}
[[ $# -eq 3 || $# -eq 4 ]] || usage_error "three arguments are needed"
[[ $1 == restart ]] || usage_error "unknown command: $1"
[[ $2 =~ ^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$ ]] || usage_error "not the name of an environment: $2"
[[ $3 == gateway ]] || usage_error "unknown service: $3"
[[ ${4:---trust} == --trust ]] || usage_error "unknown argument: $4"
readonly environment=$2 trust=${4:-}
for tool in docker go jq; do
  have "$tool" || die "$tool is needed"
done
arch=$(node_arch) || die "the Docker Engine does not answer"
readonly arch

containers=()
while read -r id; do containers+=("$id"); done < <(docker ps --no-trunc --quiet \
  --filter name=^openshell-cluster- --filter label=openshell.ai/managed-by=openshell --filter "label=openshell.ai/gateway=$environment")
((${#containers[@]} > 0)) || die "environment $environment has no gateway that runs: run \`openshell gateway start --name $environment\`"

readonly work=$root/build/envctl/$environment
server=
stop_server() {
  if [[ -n $server ]]; then
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
    server=
  fi
}
trap stop_server EXIT

# commit: what is built, as far as one word says it.
commit() {
  local head dirty=
  head=$(git rev-parse --short=12 HEAD 2>/dev/null) || head=unknown
  git diff-index --quiet HEAD -- 2>/dev/null || dirty=-dirty
  echo "$head$dirty"
}

build() {
  local version
  version=$(tasks/scripts/version.sh)
  rm -rf "$work/release"
  mkdir -p "$work/release/bin"
  cp -R deploy/gateway/app "$work/release/app"
  # What packs and serves runs here, what is packed runs in the gateway.
  go build "${build_flags[@]}" -o "$work/app-gateway" ./cmd/app-gateway
  GOOS=linux GOARCH=$arch go build "${build_flags[@]}" \
    -ldflags "-s -w -X openshell.ai/openshell/pkg/version.Version=$version" -o "$work/release/bin/app-gateway" ./cmd/app-gateway
}

# validate: what can be known to be wrong before a gateway tries it.
validate() {
  local script
  for script in "$work"/release/app/*.sh "$work"/release/app/*/*.sh; do
    bash -n "$script" || die "$script is no shell script"
  done
}

pack() {
  [[ -s $keys/build.key ]] || "$work/app-gateway" build keygen --out "$keys"
  "$work/app-gateway" build pack --from "$work/release" --out "$work/builds" --key "$keys/build.key" --commit "$(commit)" >"$work/manifest.json"
}

# serve ADDRESS: sets port.
serve() {
  local tries
  rm -f "$work/server.json"
  "$work/app-gateway" build serve --dir "$work/builds" --listen "$1" >"$work/server.json" 2>"$work/server.log" &
  server=$!
  for ((tries = 0; tries < patience; tries++)); do
    port=$(jq -r '.address | split(":") | last' "$work/server.json" 2>/dev/null) || port=
    [[ -z $port ]] || return 0
    kill -0 "$server" 2>/dev/null || break
    sleep 0.1
  done
  stop_server
  return 1
}

# serve_to CONTAINER: sets ip and port. Only the container's network sees the
# server where this machine is that network's gateway.
serve_to() {
  ip=${BUILD_SERVER_IP:-}
  if [[ -z $ip ]]; then
    ip=$(docker inspect "$1" | jq -r '[.[0].NetworkSettings.Networks[].Gateway | select(. != "")][0] // empty')
    [[ -z $ip ]] || ! serve "$ip:0" || return 0
    # The engine runs in a machine of its own.
    ip=host.docker.internal
  fi
  serve 0.0.0.0:0
}

# reload_one CONTAINER: 1 if it failed.
reload_one() {
  local name answer
  name=$(docker inspect --format '{{.Name}}' "$1")
  name=${name#/}
  if ! serve_to "$1"; then
    say "$name: FAILED: the build cannot be served: $(cat "$work/server.log")"
    return 1
  fi
  if [[ -n $trust ]]; then
    # shellcheck disable=SC2016 # expanded in the gateway
    docker exec -i "$1" sh -euc 'umask 077; cat >"$1.new"; mv "$1.new" "$1"' sh "$public_key" <"$keys/build.pub" ||
      say "$name: it could not be given the key"
  fi
  answer=$(docker exec --env "BUILD_SERVER_IP=$ip" --env "BUILD_SERVER_PORT=$port" "$1" "$reload" 2>"$work/reload.log") || true
  stop_server
  if ! jq -e '.status == "ok"' >/dev/null 2>&1 <<<"$answer"; then
    say "$name: FAILED: $(jq -r '.error' 2>/dev/null <<<"$answer" | grep . || tail -n 1 "$work/reload.log")"
    return 1
  fi
  say "$name: $(jq -r 'if .changed then "reloaded, runs" else "runs already" end + " \(.commit) (\(.sha256[:12]))"' <<<"$answer")"
}

cd "$root"
mkdir -p "$work"
say "environment $environment: $((${#containers[@]})) gateway(s)"
build
validate
pack
say "packed $(jq -r '"\(.commit) (\(.sha256[:12])), \(.size) bytes"' "$work/manifest.json")"
failed=0
for container in "${containers[@]}"; do
  reload_one "$container" || failed=$((failed + 1))
done
say "environment $environment: $((${#containers[@]} - failed)) of ${#containers[@]} gateways run the build"
exit $((failed > 100 ? 100 : failed))
