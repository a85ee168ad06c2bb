#!/usr/bin/env bash
# Rebuild and redeploy what changed into a running gateway, in seconds:
#
#   cluster-deploy-fast.sh [server|chart|all] [--name NAME]
#
# The server's part has the supervisor of sandboxes too. A sandbox gets the new
# one when it starts the next time.
#
# The result goes where the node looks before it looks into its own image, on
# the gateway's volume, and so survives the next boot. Fingerprints of what was
# deployed, and into which container, are kept beside it: an input that did not
# change since is skipped.
set -euo pipefail
# shellcheck source=tasks/scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly usage='usage: cluster-deploy-fast.sh [server|chart|all] [--name NAME]'
readonly deploy_dir=/var/lib/openshell/current/deploy
readonly namespace=openshell handshake=openshell-ssh-handshake workload=statefulset/openshell
readonly supervisor_dir=/opt/openshell/bin
readonly record=$deploy_dir/deployed.json
readonly patience=60s # for the node to notice, and again for the rollout

usage_error() {
  printf 'error: %s\n%s\n' "$1" "$usage" >&2
  exit 2
}

# gateway_name: as every verb of openshell chooses it when none is given.
gateway_name() {
  local active=${XDG_CONFIG_HOME:-$HOME/.config}/openshell/active_gateway
  if [[ -n ${OPENSHELL_GATEWAY:-} ]]; then
    echo "$OPENSHELL_GATEWAY"
  elif [[ -s $active ]]; then
    head -n 1 "$active"
  else
    echo openshell
  fi
}

part=all name=
while [[ $# -gt 0 ]]; do
  case $1 in
    server | chart | all) part=$1 ;;
    --name)
      [[ $# -ge 2 ]] || usage_error "--name needs a value"
      name=$2
      shift
      ;;
    --name=*) name=${1#--name=} ;;
    -h | --help)
      echo "$usage"
      exit 0
      ;;
    *) usage_error "unknown argument: $1" ;;
  esac
  shift
done
name=${name:-$(gateway_name)}
[[ $name =~ ^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$ ]] || usage_error "not a gateway name: $name"
for tool in docker go jq; do
  have "$tool" || die "$tool is needed"
done

arch=$(node_arch) || die "the Docker Engine does not answer"
# The container, which must be this gateway's own and running.
inspected=$(docker container inspect "openshell-cluster-$name") ||
  die "gateway $name has no container: run \`openshell gateway start --name $name\`"
jq -e --arg name "$name" '.[0].Config.Labels
  | .["openshell.ai/managed-by"] == "openshell" and .["openshell.ai/gateway"] == $name' <<<"$inspected" >/dev/null ||
  die "container openshell-cluster-$name does not belong to gateway $name"
[[ $(jq -r '.[0].State.Status' <<<"$inspected") == running ]] ||
  die "gateway $name is not running: run \`openshell gateway start --name $name\`"
container=$(jq -r '.[0].Id' <<<"$inspected")
readonly part name container arch

work=$root/build/fast-deploy/$name
mkdir -p "$work"
readonly work

in_node() { docker exec -i "$container" "$@"; }
kube() { in_node openshell-node kubectl "$@"; }

# milliseconds since some moment.
now() {
  local t=${EPOCHREALTIME:-$(date +%s).000000}
  t=${t/[.,]/}
  echo "${t%???}"
}

# timed LABEL COMMAND...: runs it and says how long it took.
timed() {
  local label=$1 start
  shift
  start=$(now)
  "$@"
  say "$(printf '%-28s %5d ms' "$label" $(($(now) - start)))"
}

# read_record: what was deployed into this container; another one's, or what
# cannot be read, counts as nothing.
read_record() {
  # shellcheck disable=SC2016 # expanded in the node
  in_node sh -euc 'if [ -e "$1" ]; then cat "$1"; fi' sh "$record" |
    jq -Rsc --arg container "$container" '(fromjson? // {}) | select(.container == $container) // {$container}'
}

# deployed PART: its fingerprint; empty if none.
deployed() { jq -r --arg part "$1" '.[$part] // ""' <<<"$recorded"; }

# remember PART FINGERPRINT
remember() {
  recorded=$(jq -c --arg part "$1" --arg print "$2" '.[$part] = $print' <<<"$recorded")
  # shellcheck disable=SC2016 # expanded in the node
  in_node sh -euc 'cat >"$1.new"; mv "$1.new" "$1"' sh "$record" <<<"$recorded"
}

# server_fingerprint: over our own sources, the versions of other modules and
# the toolchain. The stamped version is left out: a commit alone deploys nothing.
server_fingerprint() {
  local list files=() line
  list=$(CGO_ENABLED=0 GOOS=linux GOARCH=$arch go list -deps -f '{{with .Module}}{{if .Main}}{{range $.GoFiles}}file {{$.Dir}}/{{.}}
{{end}}{{range $.EmbedFiles}}file {{$.Dir}}/{{.}}
{{end}}{{else}}module {{.Path}}@{{.Version}}
{{end}}{{end}}' ./cmd/openshell-server ./cmd/openshell-sandbox | sed '/^$/d' | sort -u) || return
  while read -r line; do
    files+=("${line#file }")
  done < <(grep '^file ' <<<"$list")
  fingerprint "$arch $(go env GOVERSION) $(grep '^module ' <<<"$list")" "${files[@]}"
}

chart_files() { find deploy/helm/openshell deploy/kube/manifests -type f | LC_ALL=C sort; }

chart_fingerprint() {
  local files=() line
  while read -r line; do files+=("$line"); done < <(chart_files)
  fingerprint "$(chart_files)" "${files[@]}"
}

# ensure_handshake: the workload cannot start without this Secret. Its value
# goes from the random device, and into the check, through pipes alone. A server
# that runs with a former value is restarted before there is a new one: when we
# are interrupted in between, the next run goes on from there.
ensure_handshake() {
  local state server
  state=$(kube -n "$namespace" get secret "$handshake" --ignore-not-found -o json |
    jq -Rrs 'if . == "" then "absent" else fromjson | .data.secret // "" | @base64d | test("^[0-9a-fA-F]{64}$") end')
  case $state in
    true) say "handshake Secret reused" ;;
    false) die "Secret $handshake is not valid: run \`openshell gateway start --name $name\`, which repairs it" ;;
    absent)
      server=$(kube -n "$namespace" get "$workload" --ignore-not-found -o name)
      if [[ -n $server ]]; then
        kube -n "$namespace" rollout restart "$workload" >/dev/null
        rollout=yes
      fi
      od -An -v -tx1 -N32 /dev/urandom | tr -d ' \n' |
        jq -R --arg name "$handshake" '{apiVersion: "v1", kind: "Secret", type: "Opaque", metadata: {name: $name}, stringData: {secret: .}}' |
        kube -n "$namespace" create -f - >/dev/null
      say "handshake Secret created"
      ;;
    *) die "Secret $handshake cannot be read" ;;
  esac
}

# build_server: the supervisor in $work/supervisor, and in $work/images the index of the
# new image, whose archive stands beside it. The archive is named by content: at
# every moment index and archive belong together.
build_server() {
  local images=$root/build/image/$arch/images tar
  ARCH=$arch tasks/scripts/build-image.sh server 2>"$work/build.log" || {
    cat "$work/build.log" >&2
    return 1
  }
  rm -rf "$work/images" "$work/supervisor"
  mkdir -p "$work/images" "$work/supervisor"
  cp "$root/build/image/$arch/supervisor/openshell-sandbox" "$work/supervisor/"
  tar=server-$(jq -r '.images[] | select(.name == "server") | .digest' "$images/index.json" | cut -d: -f2 | cut -c1-12).tar
  cp "$images/server.tar" "$work/images/$tar"
  jq --arg file "$tar" '{images: [.images[] | select(.name == "server") | .file = $file]}' "$images/index.json" >"$work/images/index.json"
}

# copy_server: the supervisor, which the node mounts over its own at every boot;
# the archive, then the index that names it, then the former archives go. From
# here on the record would not be true.
copy_server() {
  # shellcheck disable=SC2016 # expanded in the node
  tar -c -C "$work/supervisor" . | in_node sh -euc '
    mkdir -p "$1/bin"
    chmod 0755 "$1/bin"
    rm -f "$2"
    cd "$1/bin"
    rm -rf .new
    mkdir .new
    tar -x --no-same-owner -C .new
    chmod 0755 .new/openshell-sandbox
    mv .new/openshell-sandbox .
    rmdir .new
    mountpoint -q "$3" || mount --bind "$1/bin" "$3"
  ' sh "$deploy_dir" "$record" "$supervisor_dir"
  # shellcheck disable=SC2016 # expanded in the node
  tar -c -C "$work/images" . | in_node sh -euc '
    mkdir -p "$1/images"
    rm -f "$2"
    cd "$1/images"
    rm -rf .new
    mkdir .new
    tar -x --no-same-owner -C .new
    mv .new/server-*.tar .
    mv .new/index.json .
    rmdir .new
    for old in server-*.tar; do grep -qF "\"$old\"" index.json || rm "$old"; done
  ' sh "$deploy_dir" "$record"
}

# copy_chart: its version carries the fingerprint, by which the applied objects
# are recognised. The node sees the link change, in one step.
copy_chart() {
  local stage=$work/chart
  rm -rf "$stage"
  mkdir -p "$stage"
  cp -R "$root/deploy/helm/openshell" "$stage/openshell-$chart_print"
  sed "s/^version: .*/&+$chart_print/" "$root/deploy/helm/openshell/Chart.yaml" >"$stage/openshell-$chart_print/Chart.yaml"
  cp -R "$root/deploy/kube/manifests" "$stage/manifests"
  # shellcheck disable=SC2016 # expanded in the node
  tar -c -C "$stage" . | in_node sh -euc '
    mkdir -p "$1/charts" "$1/manifests"
    rm -f "$3"
    cd "$1"
    rm -rf .new "charts/openshell-$2"
    mkdir .new
    tar -x --no-same-owner -C .new
    for old in manifests/*; do [ -e ".new/$old" ] || rm -f "$old"; done
    mv .new/manifests/*.yaml manifests/
    mv ".new/openshell-$2" charts/
    rmdir .new/manifests .new
    ln -sfn "openshell-$2" charts/.link
    mv -T charts/.link charts/openshell
    for old in charts/openshell-*; do [ "$old" = "charts/openshell-$2" ] || rm -rf "$old"; done
  ' sh "$deploy_dir" "$chart_print" "$record"
}

await_server() {
  local ref
  ref=$(jq -r '.images[0].ref' "$work/images/index.json")
  kube -n "$namespace" wait "$workload" --timeout "$patience" \
    --for "jsonpath={.spec.template.spec.containers[0].image}=$ref" >/dev/null 2>"$work/wait.log" || not_applied server
}

await_chart() {
  local version
  version=$(sed -n 's/^version: *//p' "$root/deploy/helm/openshell/Chart.yaml")
  kube -n "$namespace" wait statefulset,service,serviceaccount,role,rolebinding,networkpolicy \
    -l app.kubernetes.io/part-of=openshell --timeout "$patience" \
    --for "jsonpath={.metadata.labels.helm\.sh/chart}=openshell-${version}_$chart_print" >/dev/null 2>"$work/wait.log" || not_applied chart
}

# not_applied: the node's own words on why it did not take what it was given.
not_applied() {
  docker logs --since "$((began / 1000))" "$container" 2>&1 |
    grep 'charts are not deployed yet' | tail -n 1 | cut -d ' ' -f 3- | grep . >&2 || cat "$work/wait.log" >&2
  die "the node did not apply the $1 within $patience"
}

await_rollout() {
  kube -n "$namespace" rollout status "$workload" --timeout "$patience" >/dev/null && return
  in_node openshell-node healthcheck >&2 || true
  die "the new server did not become ready within $patience"
}

cd "$root"
began=$(now) rollout=no changed=()
readonly began
ensure_handshake

recorded=$(read_record)
chart_print=$(chart_fingerprint) server_print=
if [[ $part != chart ]]; then
  server_print=$(server_fingerprint)
  if [[ $server_print == "$(deployed server)" ]]; then
    say "server: unchanged, skipped"
  else
    timed "server: build" build_server
    timed "server: copy" copy_server
    changed+=(server)
  fi
fi
if [[ $part != server ]]; then
  if [[ $chart_print == "$(deployed chart)" ]]; then
    say "chart: unchanged, skipped"
  else
    timed "chart: copy" copy_chart
    changed+=(chart)
  fi
fi
for what in ${changed[@]+"${changed[@]}"}; do
  timed "$what: applied" "await_$what"
  rollout=yes
done
if [[ $rollout == yes ]]; then timed "rollout" await_rollout; fi
for what in ${changed[@]+"${changed[@]}"}; do
  print=${what}_print
  remember "$what" "${!print}"
done
timed "node: health" in_node openshell-node healthcheck
say "gateway $name is up to date after $(($(now) - began)) ms"
