#!/usr/bin/env bash
# Installs what the tests need (Debian, root or sudo), builds every variant and runs all tests.
#
#   tests/run.sh [--no-install] [--quick] [--keep]
#
#   --no-install  the packages are there already
#   --quick       only the first variant
#   --keep        keep the build directories (build-test/)
#
# Ends with "N passed, N failed, N skipped" and exits non-zero when anything failed.
set -euo pipefail
cd "$(dirname "$0")/.."

install=1 quick=0 keep=0
for argument in "$@"; do
  case $argument in
    --no-install) install=0 ;;
    --quick) quick=1 ;;
    --keep) keep=1 ;;
    *) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2 ;;
  esac
done

packages=(
  build-essential clang meson ninja-build pkg-config python3
  libcurl4-openssl-dev libcjson-dev libmbedtls-dev zlib1g-dev libisal-dev libzstd-dev
  libcmocka-dev valgrind strace
  docker-registry skopeo umoci crun podman buildah fuse-overlayfs uidmap busybox-static openssl apache2-utils zstd attr e2fsprogs
)

install_packages() {
  local sudo=()
  if [ "$(id -u)" != 0 ]; then
    sudo=(sudo)
  fi
  "${sudo[@]}" apt-get update -q
  # no libtar on some releases: the built-in codec is used there
  local optional=()
  if apt-cache show libtar-dev > /dev/null 2>&1; then
    optional=(libtar-dev)
  fi
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
    "${packages[@]}" "${optional[@]}" libclang-rt-"$(clang_version)"-dev
}

clang_version() {
  apt-cache depends clang | sed -n 's/.*Depends: clang-\([0-9]*\).*/\1/p' | head -n 1
}

work=build-test
passed=0 failed=0 skipped=0 broken=()

# Adds the results of one meson test run to the totals.
count_results() {
  local counts
  counts=$(python3 - "$1" << 'PY'
import json, sys
ok = bad = skip = 0
for line in open(sys.argv[1]):
    result = json.loads(line)["result"]
    if result in ("OK", "EXPECTEDFAIL"):
        ok += 1
    elif result == "SKIP":
        skip += 1
    else:
        bad += 1
print(ok, bad, skip)
PY
  )
  local ok bad skip
  read -r ok bad skip <<< "$counts"
  passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skip))
}

# variant NAME COMPILER "MESON OPTIONS" TEST ARGUMENTS...
variant() {
  local name=$1 compiler=$2 options=$3
  shift 3
  local dir=$work/$name
  printf '\n=== %s\n' "$name"
  # shellcheck disable=SC2086 # the options are words
  if ! CC=$compiler meson setup "$dir" -Dtests=true ${CI:+-Dwerror=true} $options > "$work/$name.setup.log" 2>&1 ||
    ! ninja -C "$dir" > "$work/$name.build.log" 2>&1; then
    tail -n 40 "$work/$name".*.log
    failed=$((failed + 1)) broken+=("$name: does not build")
    return
  fi
  run_tests "$name" "$dir" "$@"
}

# run_tests NAME DIRECTORY ARGUMENTS...
run_tests() {
  local name=$1 dir=$2
  shift 2
  rm -f "$dir"/meson-logs/testlog*.json
  if ! meson test -C "$dir" --no-rebuild --print-errorlogs "$@"; then
    broken+=("$name")
  fi
  count_results "$dir"/meson-logs/testlog*.json # a wrapper's name is part of the file's
}

if [ "$install" = 1 ]; then
  install_packages
fi
rm -rf "$work"
mkdir -p "$work"
if [ "$keep" = 0 ]; then
  trap 'rm -rf "$work"' EXIT
fi
export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1

variant gcc gcc "" --timeout-multiplier 4
if [ "$quick" = 0 ]; then
  printf '\n=== gcc, under valgrind\n'
  UNDER_VALGRIND=1 run_tests valgrind "$work/gcc" --suite unit --timeout-multiplier 40 \
    --wrapper 'valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite --trace-children=no'
  variant clang-sanitized clang "-Db_sanitize=address,undefined -Db_lundef=false -Dtar_codec=builtin" \
    --suite unit --suite fuzz --suite integration --timeout-multiplier 8
  variant clang-threads clang "-Db_sanitize=thread -Db_lundef=false" \
    base pool operation operation_edges layer_writer layer_stack archive publish build --timeout-multiplier 8
  variant minimal gcc "-Disal=disabled -Dzstd=disabled -Dtar_codec=builtin -Dsha_kernels=off --buildtype=release" \
    --suite unit --timeout-multiplier 4
fi

printf '\n'
if [ "${#broken[@]}" != 0 ]; then
  printf 'failed in: %s\n' "${broken[@]}"
fi
printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" = 0 ] && [ "${#broken[@]}" = 0 ] && [ "$passed" != 0 ]
