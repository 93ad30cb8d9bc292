#!/bin/sh
# tests/abi/layout.sh INCLUDE_DIR - every member of a public struct and every public constant is pinned in layout.c.
set -u
here=$(dirname "$0")
include=$1/imgstore
failed=0
for name in $(awk -v want=members -f "$here/public.awk" "$include"/*.h); do
  if ! grep -q "^MEMBER(${name%.*}, ${name#*.}, " "$here/layout.c"; then
    echo "layout.c does not pin $name" >&2
    failed=1
  fi
done
for name in $(awk -v want=constants -f "$here/public.awk" "$include"/*.h); do
  if ! grep -q "^VALUE($name, " "$here/layout.c"; then
    echo "layout.c does not pin $name" >&2
    failed=1
  fi
done
exit $failed
