#!/usr/bin/env bash
# Prepares the container's mounts and control groups, then becomes
# openshell-node. It generates no secret and keeps no state: everything it does
# is needed again after every start of the container.
set -euo pipefail

fail() {
  printf 'cluster-entrypoint: %s\n' "$1" >&2
  exit 1
}

# The node needs these trees writable; Docker mounts them read-only in a
# container that is not privileged. The mounts are the container's own.
remount_writable() {
  mount -o remount,bind,rw /sys || fail "/sys cannot be remounted: CAP_SYS_ADMIN is missing"
  if [[ -f /sys/fs/cgroup/cgroup.controllers ]]; then
    mount -o remount,rw /sys/fs/cgroup
  else
    local controller
    for controller in /sys/fs/cgroup/*/; do
      if [[ ! -L "${controller%/}" ]] && mountpoint -q "$controller"; then
        mount -o remount,bind,rw "$controller" || mount -o remount,rw "$controller"
      fi
    done
  fi
  # Pods' volumes are mounted here and must be seen by the containers.
  mount --make-rshared /
}

# Network sysctls belong to the container's own network namespace and may be
# set. The others are the laptop's: the kubelet and kube-proxy would set them,
# so plain files with the wanted values are put over them.
protect_host_sysctls() {
  mount --bind /proc/sys/net /proc/sys/net
  mount -o remount,bind,rw /proc/sys/net

  local fake=/run/openshell/sysctl
  mkdir -p "$fake"
  local entry path value
  for entry in \
    kernel/panic=10 kernel/panic_on_oops=1 \
    kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000 \
    vm/overcommit_memory=1 vm/panic_on_oom=0; do
    path=${entry%%=*}
    value=${entry#*=}
    [[ -e /proc/sys/$path ]] || continue
    printf '%s\n' "$value" >"$fake/${path//\//.}"
    mount --bind "$fake/${path//\//.}" "/proc/sys/$path"
  done
}

# On cgroup v2 a group with processes cannot hand controllers to its children:
# everything moves to a leaf before the kubelet makes its own groups. A `docker
# exec` puts a new process into the group at any moment, so that one attempt is
# not enough.
delegate_cgroup_v2() {
  local root=/sys/fs/cgroup
  [[ -f $root/cgroup.controllers ]] || return 0
  local leaf=$root/openshell-node deadline=$((SECONDS + 10)) pid controller missing
  mkdir -p "$leaf"
  while :; do
    while read -r pid; do
      # A process may end between the read and the write.
      printf '%s' "$pid" >"$leaf/cgroup.procs" 2>/dev/null || true
    done <"$root/cgroup.procs"
    for controller in $(<"$root/cgroup.controllers"); do
      printf '+%s' "$controller" >"$root/cgroup.subtree_control" 2>/dev/null || true
    done
    missing=
    for controller in cpu memory pids; do
      [[ " $(<"$root/cgroup.subtree_control") " == *" $controller "* ]] || missing+=" $controller"
    done
    [[ -n $missing ]] || return 0
    ((SECONDS < deadline)) || fail "cgroup controllers cannot be delegated:$missing"
  done
}

# The kubelet insists on /dev/kmsg; the laptop's kernel log is none of its
# business.
fake_kmsg() {
  [[ -e /dev/kmsg ]] || ln -s /dev/null /dev/kmsg
}

main() {
  mkdir -p /run/openshell /run/lock /var/log/pods
  chmod 0700 /run/openshell
  remount_writable
  protect_host_sysctls
  delegate_cgroup_v2
  fake_kmsg
  exec /usr/local/bin/openshell-node supervise
}

main
