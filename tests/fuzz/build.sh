#!/bin/sh
# Builds one libFuzzer target. What it needs of src/ is compiled once for all of
# them, beside the output.
# usage: build.sh tests/fuzz/fuzz_NAME.c OUTPUT
set -e
top=$(cd "$(dirname "$0")/../.." && pwd)
cd "$top"
flags="-std=gnu11 -g -O1 -D_GNU_SOURCE -Isrc -Itests -fno-sanitize-recover=undefined"
archive=$(dirname "$2")/sources.a
more=
case $1 in
# Debian ships the source of llhttp; its default build is the lenient one.
*fuzz_llhttp.c)
	more="-DLLHTTP_STRICT_MODE=1 -I/usr/share/include/llhttp -w
		/usr/share/llhttp/api.c /usr/share/llhttp/http.c /usr/share/llhttp/llhttp.c"
	;;
esac

if [ ! -f "$archive" ] || [ -n "$(find src "$0" -newer "$archive" -type f)" ]; then
	objects=$archive.d
	rm -rf "$objects" "$archive"
	mkdir -p "$objects"
	# The file of leases is read and written by what also runs a thread for it: net/.
	# shellcheck disable=SC2086
	for source in src/core/*.c src/wire/*.c src/mux/*.c src/http/*.c \
		src/admin/request.c src/admin/gate.c src/server/leases.c src/server/portpool.c \
		src/net/file.c src/net/timer.c src/net/worker.c src/net/poller.c src/net/sys.c; do
		echo "$source"
	done | xargs -P "$(nproc)" -I{} sh -c 'exec clang "$@" -c {} \
		-o "$0/$(basename {} .c).o"' "$objects" $flags \
		-fsanitize=fuzzer-no-link,address,undefined
	ar rcs "$archive" "$objects"/*.o
	rm -rf "$objects"
fi
# shellcheck disable=SC2086
exec clang $flags -fsanitize=fuzzer,address,undefined -o "$2" "$1" "$archive" $more -luv -lm
