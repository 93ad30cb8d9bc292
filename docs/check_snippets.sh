#!/bin/sh
# Compiles every ```c block of the pages as a file of its own, against the public headers (and the conformance suite).
#   check_snippets.sh INCLUDE_DIR COMPILER... -- PAGE...
# A block without an #include of its own gets those below.
set -eu
include=$1
shift
compiler=
while [ "$1" != -- ]; do
  compiler="$compiler $1"
  shift
done
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for page in "$@"; do
  awk -v prefix="$work/$(basename "$page" .md)" '
    /^```c$/ { inside = 1; file = sprintf("%s-%02d.c", prefix, ++count); text = ""; next }
    /^```/ && inside {
      inside = 0
      if (text !~ /#include/)
        printf "#include <imgstore/imgstore.h>\n#include <poll.h>\n#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n" > file
      printf "%s", text > file
      close(file)
    }
    inside { text = text $0 "\n" }' "$page"
done

count=0
for file in "$work"/*.c; do
  # shellcheck disable=SC2086 # the compiler is words
  $compiler -std=c11 -Wall -Wextra -Werror -Wno-unused-parameter -I"$include" -I"$include/../tests/unit" -c -o "$work/out.o" "$file" ||
    { cat -n "$file"; exit 1; }
  count=$((count + 1))
done
echo "$count snippets compile"
[ "$count" != 0 ]
