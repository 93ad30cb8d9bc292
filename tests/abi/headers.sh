#!/bin/sh
# tests/abi/headers.sh INCLUDE_DIR CC... - every public header compiles alone, as C99, C11 and C++11, without a warning.
# Skipped (77) when there is no C++ compiler and all is well in C.
set -u
include=$1
shift
failed=0

compile() { # LANGUAGE STANDARD COMPILER...
  language=$1 standard=$2
  shift 2
  for header in "$include"/imgstore/*.h; do
    name=imgstore/${header##*/}
    # Twice: a header must also bear being included again.
    printf '#include <%s>\n#include <%s>\n' "$name" "$name" |
      "$@" -x "$language" "-std=$standard" -pedantic -Wall -Wextra -Werror -fsyntax-only \
        -I "$include" - || {
      echo "$name does not compile alone as $standard" >&2
      failed=1
    }
  done
}

compile c c99 "$@"
compile c c11 "$@"
for cxx in ${CXX:-} g++ clang++; do
  if command -v "$cxx" >/dev/null 2>&1; then
    compile c++ c++11 "$cxx"
    exit $failed
  fi
done
[ $failed -eq 0 ] || exit 1
echo 'no C++ compiler: C only' >&2
exit 77
