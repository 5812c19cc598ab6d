#!/bin/sh
# Builds one libFuzzer target with the layers it needs.
# usage: build.sh tests/fuzz/fuzz_NAME.c OUTPUT
set -e
top=$(cd "$(dirname "$0")/../.." && pwd)
cd "$top"
oracle=
case $1 in
# Debian ships the source of llhttp; its default build is the lenient one.
*fuzz_llhttp.c)
	oracle="-DLLHTTP_STRICT_MODE=1 -I/usr/share/include/llhttp -w
		/usr/share/llhttp/api.c /usr/share/llhttp/http.c /usr/share/llhttp/llhttp.c"
	;;
esac
# shellcheck disable=SC2086
exec clang -std=gnu11 -g -O1 -D_GNU_SOURCE -Isrc -Itests -fsanitize=fuzzer,address,undefined \
	-fno-sanitize-recover=undefined -o "$2" "$1" src/core/*.c src/wire/*.c src/mux/*.c \
	src/http/*.c src/admin/request.c src/admin/gate.c $oracle -lm
