#!/bin/sh
# Builds imgstore and shows its main jobs on a Debian machine: pull an image, look at it, unpack it, run it, change an
# instance of it and make an image of the change.
#
#   examples/quickstart.sh           makes a small image of Debian's busybox with umoci, serves it with Debian's
#                                    docker-registry on this machine, and pulls it from there
#   examples/quickstart.sh IMAGE     pulls IMAGE from its own registry (Docker Hub by default)
#
# Needs root or sudo only to install missing packages. Everything but ./build is made in a temporary folder, which is
# removed at the end; KEEP=1 keeps it.
set -eu

cd "$(dirname "$0")/.."
image=${1:-}
work=
registry=
mounted=

say() {
  printf '\n== %s\n' "$*"
}

# Shows a command as a user would type it, and runs it.
show() {
  printf '\n$ %s\n' "$*"
  "$@"
}

# Runs a command silently; its output is shown only when it fails.
quietly() {
  if ! "$@" >"$work/log" 2>&1 </dev/null; then
    cat "$work/log" >&2
    printf 'quickstart: failed: %s\n' "$*" >&2
    exit 1
  fi
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    echo "quickstart: packages are missing; run this as root, or install them: $*" >&2
    exit 1
  fi
}

clean_up() {
  status=$?
  trap - EXIT
  trap '' INT TERM HUP
  if [ -n "$registry" ]; then
    kill "$registry" 2>/dev/null || true
    wait "$registry" 2>/dev/null || true
  fi
  [ -z "$mounted" ] || imgstore umount "$mounted" || true
  if [ -n "$work" ] && [ -z "${KEEP:-}" ]; then
    # Unpacked folders may be read-only.
    chmod -R u+rwX "$work" 2>/dev/null || true
    rm -rf "$work"
  elif [ -n "$work" ]; then
    echo "Kept: $work" >&2
  fi
  exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP
work=$(mktemp -d "${TMPDIR:-/tmp}/imgstore-quickstart.XXXXXX")
chmod 755 "$work"

# --- packages ----------------------------------------------------------------------------------------------------------

is_installed() {
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

missing_of() {
  for package in "$@"; do
    is_installed "$package" || printf '%s ' "$package"
  done
}

build_packages="gcc libc6-dev meson ninja-build pkg-config libcurl4-openssl-dev libcjson-dev libmbedtls-dev zlib1g-dev
  libisal-dev libzstd-dev ca-certificates"
demo_packages="docker-registry skopeo umoci busybox-static"
[ -n "$image" ] && demo_packages=

export DEBIAN_FRONTEND=noninteractive
if command -v apt-get >/dev/null; then
  # shellcheck disable=SC2086
  missing=$(missing_of $build_packages $demo_packages)
  # libtar left Debian after release 12; the library then uses a header codec of its own.
  if [ -n "$missing" ] || { ! is_installed libtar-dev && [ ! -f build/build.ninja ]; }; then
    say "Installing packages: ${missing:-libtar-dev, if there is one}"
    quietly as_root apt-get update -q
    apt-cache show libtar-dev >/dev/null 2>&1 && missing="$missing libtar-dev"
    # shellcheck disable=SC2086
    [ -z "$missing" ] || quietly as_root apt-get install -y -q --no-install-recommends $missing
    case " $missing " in
    *" docker-registry "*)
      # The package starts a registry of its own; this script brings one with its own configuration.
      [ ! -d /run/systemd/system ] || as_root systemctl disable -q --now docker-registry || true
      ;;
    esac
  fi
else
  echo "This is not Debian: please install $build_packages $demo_packages yourself." >&2
fi

# --- build -------------------------------------------------------------------------------------------------------------

say "Building in ./build"
if [ ! -f build/build.ninja ]; then
  codec=auto
  ! command -v dpkg-query >/dev/null || is_installed libtar-dev || codec=builtin
  quietly meson setup build -Dexamples=true "-Dtar_codec=$codec"
fi
quietly meson compile -C build
PATH="$PWD/build/examples:$PATH"
export PATH IMGSTORE_ROOT="$work/store"
imgstore --version

# --- a registry with an image ------------------------------------------------------------------------------------------

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# Waits until something listens on port $1, or process $2 has ended.
wait_for_port() {
  for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do
    kill -0 "$2" 2>/dev/null || return 1
    python3 -c 'import socket, sys; socket.create_connection(("127.0.0.1", int(sys.argv[1])), 1)' "$1" 2>/dev/null && return 0
    sleep 0.2
  done
  return 1
}

start_registry() {
  port=$(free_port)
  cat >"$work/registry.yml" <<END
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: $work/registry}
http: {addr: "127.0.0.1:$port"}
END
  docker-registry serve "$work/registry.yml" >"$work/registry.log" 2>&1 </dev/null &
  registry=$!
  if ! wait_for_port "$port" "$registry"; then
    cat "$work/registry.log" >&2
    echo "quickstart: the registry did not start" >&2
    exit 1
  fi
}

# Two layers: busybox, and a file on top of it.
make_image() {
  layout=$work/layout
  rootless=--rootless
  [ "$(id -u)" != 0 ] || rootless=
  quietly umoci init --layout "$layout"
  quietly umoci new --image "$layout:latest"
  # shellcheck disable=SC2086
  quietly umoci unpack $rootless --image "$layout:latest" "$work/bundle"
  mkdir -p "$work/bundle/rootfs/bin" "$work/bundle/rootfs/etc"
  cp "$(command -v busybox)" "$work/bundle/rootfs/bin/busybox"
  for applet in sh ls cat echo uname; do
    ln -s busybox "$work/bundle/rootfs/bin/$applet"
  done
  quietly umoci repack --refresh-bundle --image "$layout:latest" --history.created_by "busybox-static of Debian" \
    "$work/bundle"
  echo "Hello from an image." >"$work/bundle/rootfs/etc/motd"
  quietly umoci repack --image "$layout:latest" --history.created_by "a message" "$work/bundle"
  quietly umoci config --image "$layout:latest" --config.cmd /bin/sh --config.env PATH=/bin \
    --config.label org.opencontainers.image.title=busybox
  echo '{}' >"$work/auth.json" # nobody's credentials, wherever skopeo may look for them
  quietly skopeo --insecure-policy copy --authfile "$work/auth.json" --dest-tls-verify=false "oci:$layout:latest" \
    "docker://127.0.0.1:$port/library/busybox:latest"
}

if [ -z "$image" ]; then
  say "Starting docker-registry on this machine, with an image made by umoci"
  start_registry
  make_image
  image=127.0.0.1:$port/library/busybox:latest
  echo "The registry at 127.0.0.1:$port has library/busybox:latest."
fi

# --- the main job ------------------------------------------------------------------------------------------------------

say "Pull an image, and look at it"
show imgstore pull "$image"
show imgstore ls
show imgstore history "$image"
show imgstore inspect "$image"

say "Turn it into a root file system"
cd "$work"
show imgstore unpack "$image" rootfs
show ls rootfs
if [ -n "$registry" ]; then
  if [ "$(id -u)" = 0 ]; then
    show chroot rootfs /bin/busybox echo "It runs."
  else
    show rootfs/bin/busybox echo "It runs."
  fi
fi

say "An instance: the image with a read/write layer of its own"
show imgstore create "$image" demo
mounted=demo
printf '\n$ imgstore mount demo\n'
root=$(imgstore mount demo)
echo "$root"
echo "Written in the instance." >"$root/note"
show imgstore diff demo
show imgstore commit demo demo:1
[ -z "$registry" ] || show imgstore push demo:1 "127.0.0.1:$port/demo:1"
show imgstore umount demo
mounted=
show imgstore delete demo

say "Pulled again, nothing is fetched"
show imgstore pull "$image"
show imgstore du

say "Done. The program is ./build/examples/imgstore; 'imgstore --help' tells more."
