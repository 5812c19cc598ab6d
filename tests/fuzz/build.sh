#!/bin/sh
# Builds one libFuzzer target with the layers it needs.
# usage: build.sh tests/fuzz/fuzz_NAME.c OUTPUT
set -e
top=$(cd "$(dirname "$0")/../.." && pwd)
cd "$top"
exec clang -std=gnu11 -g -O1 -D_GNU_SOURCE -Isrc -Itests -fsanitize=fuzzer,address,undefined \
	-fno-sanitize-recover=undefined -o "$2" "$1" src/core/*.c src/wire/*.c src/mux/*.c
