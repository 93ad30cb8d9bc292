#!/bin/sh
# tests/abi/symbols.sh INCLUDE_DIR MAP LIBRARY - what the library exports is what the map lists is what the headers
# declare, and every declaration has a comment. README.md says how a name is added.
set -u
here=$(dirname "$0")
include=$1/imgstore map=$2 library=$3
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
LC_ALL=C
export LC_ALL
failed=0

awk -v want=functions -f "$here/public.awk" "$include"/*.h | sort >"$work/declared"
sed -n '/global:/,/local:/p' "$map" | grep -o 'imgstore_[a-z0-9_]*\**' >"$work/map-order"
sort "$work/map-order" >"$work/map"
nm -D --defined-only "$library" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort >"$work/exported"

same() { # FILE FILE WHAT
  if ! diff "$work/$1" "$work/$2" >"$work/diff"; then
    echo "$3:" >&2
    sed -n 's/^[<>] .*/  &/p' "$work/diff" >&2
    failed=1
  fi
}

same declared map 'declared in a header (<) and listed in the map (>) differ'
same map exported 'listed in the map (<) and exported by the library (>) differ'
same map-order map 'the map is not sorted'

# No declaration without a comment that ends on the line before it.
awk 'FNR == 1 { previous = "" }
     /^IMGSTORE_API / && previous !~ /\*\/$/ { print FILENAME ":" FNR ": no comment before " $0; bad = 1 }
     { previous = $0 }
     END { exit bad }' "$include"/*.h >&2 || failed=1
exit $failed
