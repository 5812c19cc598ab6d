#!/bin/sh
# clang-tidy over src/, with the checks of .clang-tidy.  usage: tidy.sh BUILD
set -u
top=$(cd "$(dirname "$0")/../.." && pwd)
cd "$top" || exit 1
find src -name '*.c' | sort | xargs -P 2 -n 8 clang-tidy -p "$1" --quiet --warnings-as-errors='*' 2>/dev/null
