#!/bin/sh
# Builds one libFuzzer target with the layers it needs.
# usage: build.sh tests/fuzz/fuzz_NAME.c OUTPUT
set -e
top=$(cd "$(dirname "$0")/../.." && pwd)
cd "$top"
more=
case $1 in
# Debian ships the source of llhttp; its default build is the lenient one.
*fuzz_llhttp.c)
	more="-DLLHTTP_STRICT_MODE=1 -I/usr/share/include/llhttp -w
		/usr/share/llhttp/api.c /usr/share/llhttp/http.c /usr/share/llhttp/llhttp.c"
	;;
# The file is read and written by what also runs a thread for it.
*fuzz_leases.c)
	more="src/server/leases.c src/server/portpool.c src/net/file.c src/net/timer.c
		src/net/worker.c src/net/poller.c -luv"
	;;
esac
# shellcheck disable=SC2086
exec clang -std=gnu11 -g -O1 -D_GNU_SOURCE -Isrc -Itests -fsanitize=fuzzer,address,undefined \
	-fno-sanitize-recover=undefined -o "$2" "$1" src/core/*.c src/wire/*.c src/mux/*.c \
	src/http/*.c src/admin/request.c src/admin/gate.c $more -lm
