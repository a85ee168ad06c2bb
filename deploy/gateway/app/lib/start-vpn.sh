#!/usr/bin/env bash
# start-vpn.sh
#
# Starts the OpenVPN server of the gateway on UDP port OPENVPN_PORT, or answers
# with the one that runs there. The keys are those of the epoch; the first start
# of an epoch makes them. Answers once clients can join:
# {"status":"ok","pid","temp_dir","port","hostname","certificates":{…}}.
set -euo pipefail
# shellcheck source=deploy/gateway/app/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=deploy/gateway/app/lib/vpn.bash
source "$app_dir/lib/vpn.bash"

readonly easyrsa=${EASYRSA_PROGRAM-/usr/share/easy-rsa/easyrsa}
readonly copies=(ca.crt server.crt server.key ta.key)
readonly clients=(clients.crt clients.key)

# easy DIR: makes the keys there; what it says is for a log. The shell does not
# end at a failure here, because the caller asks for it.
easy() {
  local name
  export EASYRSA_BATCH=1 EASYRSA_PKI=$1/pki EASYRSA_ALGO=ec EASYRSA_CURVE=prime256v1
  export EASYRSA_CA_EXPIRE=3650 EASYRSA_CERT_EXPIRE=3650
  "$easyrsa" init-pki &&
    EASYRSA_REQ_CN="openshell gateway" "$easyrsa" build-ca nopass &&
    "$easyrsa" build-server-full server nopass &&
    "$easyrsa" build-client-full clients nopass &&
    openvpn --genkey tls-crypt "$1/ta.key" || return
  for name in ca.crt issued/server.crt issued/clients.crt; do
    openssl x509 -in "$1/pki/$name" -out "$1/$(basename "$name")" || return # without the text before it
  done
}

# make_keys: all of them under their name at once, or none. The key of the
# authority is not kept: it signs nothing more in this epoch.
#
# EasyRSA makes them valid from now on, so a client whose clock is behind this
# one's cannot join yet; a user container has the clock of the gateway's host.
make_keys() {
  local dir pki why
  dir=$(mktemp -d "$GATEWAY_STATE/.vpn-XXXXXXXXXX")
  pki=$dir/pki
  if ! easy "$dir" </dev/null >"$dir/log" 2>&1; then
    why=$(tail -n 3 "$dir/log" | tr '\n' ' ')
    rm -rf "$dir"
    fail "the keys cannot be made: $why"
  fi
  mv "$pki"/private/{server,clients}.key "$dir/"
  rm -rf "$pki" "$dir/log"
  chmod 0600 "$dir"/*
  sync "$dir"/* "$dir"
  mv -T "$dir" "$vpn_keys" || fail "the keys cannot be put at $vpn_keys"
  sync "$GATEWAY_STATE"
}

# need_keys: what is left of keys that were being made when we were killed goes
# first. Keys that are there and not complete are not made anew: clients have them.
need_keys() {
  local name
  mkdir -p "$GATEWAY_STATE"
  rm -rf "$GATEWAY_STATE"/.vpn-*
  if ! compgen -G "$vpn_keys/*" >/dev/null; then make_keys; fi
  for name in "${copies[@]}" "${clients[@]}"; do
    [[ -s $vpn_keys/$name ]] || fail "$vpn_keys/$name is missing: a reset renews the keys of the VPN"
  done
}

# config DIR: the server's configuration. Each client has the same certificate
# and a name and token of its own; its address is the one that is assigned to
# it, which OpenVPN then holds it to.
config() {
  cat <<END
port $OPENVPN_PORT
proto udp
dev $vpn_device
dev-type tun
disable-dco
topology subnet
server 172.16.0.0 255.255.0.0 nopool

ca "$1/ca.crt"
cert "$1/server.crt"
key "$1/server.key"
tls-crypt "$1/ta.key"
dh none
tls-version-min 1.2
data-ciphers AES-256-GCM:AES-128-GCM:CHACHA20-POLY1305
data-ciphers-fallback AES-256-GCM
auth SHA256
verify-client-cert require
remote-cert-tls client

script-security 2
setenv GATEWAY_STATE "$GATEWAY_STATE"
setenv GATEWAY_RUN "$GATEWAY_RUN"
setenv VPN_LOG "$vpn_log"
tmp-dir "$1"
username-as-common-name
auth-user-pass-verify "$APP_GATEWAY vpn auth" via-file
client-connect "$APP_GATEWAY vpn connect"
client-disconnect "$APP_GATEWAY vpn disconnect"

keepalive 2 10
explicit-exit-notify 1
persist-key
persist-tun
max-clients 1024
management "$1/management.sock" unix
management-client-user root
writepid "$1/openvpn.pid"
log-append "$vpn_log"
verb 1
mute 10
END
}

# has_address: the tunnel is up.
has_address() { ip -4 -o address show dev "$vpn_device" 2>/dev/null | grep -qF "inet $vpn_address/"; }

# place FIELD: of the server that was started last.
place() { jq -er ".$1" "$vpn_run/server.json" 2>/dev/null; }

# healthy: it runs, on this port and with these keys.
healthy() {
  local dir
  recorded "$vpn_pid" >/dev/null && has_address && dir=$(place temp_dir) && [[ $(place port) == "$OPENVPN_PORT" ]] &&
    cmp -s "$dir/ca.crt" "$vpn_keys/ca.crt" && nft list table inet openshell_vpn >/dev/null
}

# ready PID DIR: the daemon says so, or has ended.
ready() { ! start_time "$1" >/dev/null || "$APP_GATEWAY" vpn ready "$2/management.sock"; }

# refuse MESSAGE: nothing of what was started stays.
refuse() {
  local why
  # The first error is the cause of those after it.
  why=$(tail -c +$((logged + 1)) "$vpn_log" 2>/dev/null | grep -iE 'error|cannot|failed' | head -n 1 | cut -d ' ' -f 3- | cut -c -300) || true
  vpn_clear
  fail "$1${why:+: $why}"
}

start() {
  local dir pid
  nft -f "$app_dir/lib/vpn.nft" || fail "the firewall of the VPN cannot be loaded"
  dir=$(mktemp -d /tmp/ovpn-XXXXXXXXXX)
  cp "${copies[@]/#/$vpn_keys/}" "$dir/"
  config "$dir" >"$dir/server.conf"
  mkdir -p "$vpn_run/clients"
  # The daemon keeps none of our files open: whoever waits for our answer would wait for it.
  openvpn --config "$dir/server.conf" --daemon openshell-vpn </dev/null 3>&- 8>&- 9>&- ||
    refuse "OpenVPN did not start"
  await 5 test -s "$dir/openvpn.pid" || refuse "OpenVPN did not say its pid"
  read -r pid <"$dir/openvpn.pid"
  record "$pid" "$vpn_pid" || refuse "OpenVPN ended"
  jq -nc --arg dir "$dir" --argjson port "$OPENVPN_PORT" '{temp_dir: $dir, port: $port}' >"$vpn_run/.server.json"
  mv "$vpn_run/.server.json" "$vpn_run/server.json"
  await 10 ready "$pid" "$dir" || refuse "OpenVPN did not become ready within 10 s"
  recorded "$vpn_pid" >/dev/null || refuse "OpenVPN ended"
  has_address || refuse "the tunnel has no address"
}

need OPENVPN_PORT
if [[ ! $OPENVPN_PORT =~ ^[1-9][0-9]{0,4}$ ]] || ((OPENVPN_PORT > 65535)); then
  fail "OPENVPN_PORT is '$OPENVPN_PORT'; accepted are 1 to 65535"
fi
[[ -x $APP_GATEWAY ]] || fail "there is no build at $APP_GATEWAY"
[[ -c /dev/net/tun ]] || fail "/dev/net/tun is missing: the container has no tunnel device"
vpn_lock
need_keys
if ! healthy; then
  vpn_clear
  mkdir -p "$(dirname "$vpn_log")"
  logged=$(stat -c %s "$vpn_log" 2>/dev/null || echo 0)
  start
fi

# shellcheck disable=SC2016 # jq's own variables
ok --argjson pid "$(recorded "$vpn_pid")" --arg dir "$(place temp_dir)" --argjson port "$OPENVPN_PORT" \
  --arg hostname "${GATEWAY_FQDN:-$HOSTNAME}" \
  --rawfile cert "$vpn_keys/clients.crt" --rawfile key "$vpn_keys/clients.key" \
  --rawfile ca "$vpn_keys/ca.crt" --rawfile ta "$vpn_keys/ta.key" '
  {pid: $pid, temp_dir: $dir, port: $port, hostname: $hostname,
   certificates: {"clients.crt": $cert, "clients.key": $key, "ca.crt": $ca, "ta.key": $ta}}'
