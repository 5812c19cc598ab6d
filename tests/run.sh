#!/bin/sh
# Installs what the tests need and runs them.
#
#	sh tests/run.sh			everything but the bench
#	sh tests/run.sh PART...		unit, sim, san, fuzz, e2e, lint or bench
#
# FUZZ_SECONDS	how long each fuzzer looks for something new (default 20)
# BENCH_ARGS	options of bench.py, observe.py and faults.py, as "--rounds 2 --seconds 1" or
#		"--small"
# BENCH_OUT	folder for bench.py's table and plot of tunnels beside each other
# Ends with the line "N passed, N failed"; exits 1 if anything failed.
set -u

top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top" || exit 1
export LC_ALL=C.UTF-8
passed=0
failed=0

say() {
	printf '\n==> %s\n' "$*"
}

# count PASSED FAILED
count() {
	passed=$((passed + $1))
	failed=$((failed + $2))
}

# check WHAT COMMAND...: one test, silent when it passes.
check() {
	what=$1
	shift
	if out=$("$@" 2>&1 </dev/null); then
		printf 'ok    %s\n' "$what"
		count 1 0
	else
		printf '%s\n' "$out" | tail -n 60
		printf 'FAIL  %s\n' "$what"
		count 0 1
	fi
}

install() {
	wanted=
	for p; do
		dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null | grep -qx installed ||
			wanted="$wanted $p"
	done
	[ -n "$wanted" ] || return 0
	sudo=
	if [ "$(id -u)" != 0 ]; then
		sudo=sudo
		command -v sudo >/dev/null || {
			printf 'run.sh: missing:%s\n  run as root: apt-get install -y%s\n' \
				"$wanted" "$wanted" >&2
			exit 1
		}
	fi
	say "installing$wanted"
	log=$(mktemp)
	# Servers for tests are started by the tests, not by their packages.
	export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
	# shellcheck disable=SC2086
	$sudo apt-get install -y --no-install-recommends $wanted >"$log" 2>&1 </dev/null ||
		{ $sudo apt-get update >"$log" 2>&1 </dev/null &&
			$sudo apt-get install -y --no-install-recommends $wanted >>"$log" 2>&1 </dev/null; } ||
		{ tail -n 20 "$log" >&2; rm -f "$log"; exit 1; }
	rm -f "$log"
}

base="meson ninja-build gcc g++ pkg-config libuv1-dev libjansson-dev android-libboringssl-dev scdoc python3 libcmocka-dev"

# build DIR [meson option]...: fails the run when it fails.
build() {
	dir=$1
	shift
	log=$(mktemp)
	if { [ -f "$dir/build.ninja" ] || meson setup "$@" "$dir"; } >"$log" 2>&1 </dev/null &&
		ninja -C "$dir" >>"$log" 2>&1 </dev/null; then
		rm -f "$log"
		count 1 0
		printf 'ok    build %s\n' "$dir"
		return 0
	fi
	grep -E 'error|warning|FAILED|ERROR' -A 6 "$log" | head -n 60
	tail -n 5 "$log"
	rm -f "$log"
	printf 'FAIL  build %s\n' "$dir"
	count 0 1
	return 1
}

build_check() {
	build build-check --buildtype=debugoptimized -Dwerror=true
}

build_asan() {
	build build-asan --buildtype=debugoptimized -Dwerror=true -Db_sanitize=address,undefined
}

build_release() {
	build build --buildtype=release
}

sanitizers() {
	export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0:exitcode=99
	export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
}

# meson_tests DIR SUITE
meson_tests() {
	log=$(mktemp)
	meson test -C "$1" --suite "$2" --print-errorlogs --timeout-multiplier 5 >"$log" 2>&1 </dev/null
	ok=$(sed -n 's/^Ok: *//p' "$log" | tail -n 1)
	bad=$(awk '/^(Fail|Timeout|Unexpected Pass): /{ n += $NF } END { print n + 0 }' "$log")
	if [ -z "$ok" ]; then
		ok=0
		bad=1
	fi
	[ "$bad" = 0 ] || tail -n 80 "$log"
	printf '%s %s in %s: %s passed, %s failed\n' "$([ "$bad" = 0 ] && echo "ok   " || echo "FAIL ")" \
		"$2" "$1" "$ok" "$bad"
	rm -f "$log"
	count "$ok" "$bad"
}

run_unit() {
	say unit
	build_check && meson_tests build-check unit
	sanitizers
	build_asan && meson_tests build-asan unit
}

run_sim() {
	say sim
	build_check && meson_tests build-check sim
	sanitizers
	build_asan && meson_tests build-asan sim
}

# What other threads of the process do, under ThreadSanitizer: names are resolved
# and leases written by those of libuv, and a server has a few workers.
THREADED_UNITS="admin dial leases link mailbox"
THREADED_E2E="test_lanes test_leases test_login test_admin test_stats test_reconnect test_workers test_session_cap test_shutdown test_strangers"

run_san() {
	# shellcheck disable=SC2046
	install $(grep -v '^#' tests/e2e/packages.txt)
	say san
	build build-tsan --buildtype=debugoptimized -Dwerror=true -Db_sanitize=thread || return
	export TSAN_OPTIONS=exitcode=99
	# Its memory map does not know what kernels of today randomise.
	fixed=
	setarch -R true 2>/dev/null && fixed="setarch -R"
	for name in $THREADED_UNITS; do
		check "$name in build-tsan" sh -c "ninja -C build-tsan tests/unit/test_$name &&
			$fixed build-tsan/tests/unit/test_$name"
	done
	# shellcheck disable=SC2046
	GOTUNNEL_BIN=$top/build-tsan/gotunnel GOTUNNEL_SANITIZED=1 GOTUNNEL_TEST_WORKERS=4 prefix=$fixed \
		pytest_run "e2e, threads" -k "not suspended" \
		$(printf 'tests/e2e/%s.py ' $THREADED_E2E)
	unset TSAN_OPTIONS
}

# fuzz_fresh NAME: looks for something new; says how it ended in files.
fuzz_fresh() {
	mkdir -p "build-fuzz/$1.new"
	"build-fuzz/$1" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
		-artifact_prefix="build-fuzz/" -print_final_stats=1 "build-fuzz/$1.new" \
		"tests/fuzz/corpus/${1#fuzz_}" >"build-fuzz/$1.log" 2>&1 </dev/null
	echo $? >"build-fuzz/$1.rc"
}

fuzz_told() {
	check "$1 for $seconds s" sh -c "cat build-fuzz/$1.log; exit \$(cat build-fuzz/$1.rc)"
}

run_fuzz() {
	install clang libclang-rt-14-dev node-llhttp
	say fuzz
	seconds=${FUZZ_SECONDS:-20}
	mkdir -p build-fuzz
	names=
	for source in tests/fuzz/fuzz_*.c; do
		name=$(basename "$source" .c)
		check "build $name" sh tests/fuzz/build.sh "$source" "build-fuzz/$name"
		[ -x "build-fuzz/$name" ] || continue
		check "$name replays its corpus" "build-fuzz/$name" -runs=0 \
			"tests/fuzz/corpus/${name#fuzz_}"
		names="$names $name"
	done
	# Two at a time.
	# shellcheck disable=SC2086
	set -- $names
	while [ $# -gt 0 ]; do
		fuzz_fresh "$1" &
		[ $# -lt 2 ] || fuzz_fresh "$2" &
		wait
		fuzz_told "$1"
		shift
		[ $# -gt 0 ] || break
		fuzz_told "$1"
		shift
	done
}

workers() {
	n=$(($(nproc) * 3))
	[ "$n" -lt 12 ] && echo "$n" || echo 12
}

# pytest_run WHAT [argument]...
pytest_run() {
	what=$1
	shift
	log=$(mktemp)
	parallel=
	# They wait more than they work.
	/usr/bin/python3 -c 'import xdist' 2>/dev/null && parallel="-n $(workers)"
	# shellcheck disable=SC2086
	${prefix-} /usr/bin/python3 -m pytest -q -p no:cacheprovider $parallel "$@" >"$log" 2>&1 \
		</dev/null
	ok=$(tail -n 1 "$log" | grep -o '[0-9]* passed' | grep -o '[0-9]*')
	bad=$(tail -n 1 "$log" | grep -oE '[0-9]+ (failed|error)' |
		awk '{ n += $1 } END { print n + 0 }')
	if [ -z "$ok" ]; then
		ok=0
		[ "$bad" != 0 ] || bad=1
	fi
	[ "$bad" = 0 ] || tail -n 200 "$log"
	printf '%s %s: %s\n' "$([ "$bad" = 0 ] && echo "ok   " || echo "FAIL ")" "$what" \
		"$(tail -n 1 "$log")"
	rm -f "$log"
	count "$ok" "$bad"
}

run_e2e() {
	# shellcheck disable=SC2046
	install $(grep -v '^#' tests/e2e/packages.txt)
	say e2e
	if build_release; then
		check "quickstart" sh src/quickstart.sh
		check "bundle" sh src/quickstart.sh bundle
		GOTUNNEL_BUNDLE=$(ls -t "$top"/gotunnel-*.tar.gz 2>/dev/null | head -n 1)
		export GOTUNNEL_BUNDLE
		GOTUNNEL_BIN=$top/build/gotunnel pytest_run "e2e, release" tests/e2e
		unset GOTUNNEL_BUNDLE
	fi
	sanitizers
	build_asan && GOTUNNEL_BIN=$top/build-asan/gotunnel GOTUNNEL_SANITIZED=1 \
		pytest_run "e2e, sanitized" tests/e2e
}

run_lint() {
	install mandoc clang clang-tidy
	say lint
	build_release || return
	for script in tests/lint/*.py; do
		check "$(basename "$script" .py)" /usr/bin/python3 "$script" "$top" "$top/build"
	done
	for page in build/man/*.[1-8]; do
		check "mandoc $(basename "$page")" sh -c "mandoc -T lint -W warning '$page' | grep -vE 'referenced manual not found|skipping paragraph macro' | { ! grep .; }"
	done
	for script in src/quickstart.sh tests/run.sh; do
		check "sh -n $script" sh -n "$script"
	done
	if CC=clang build build-clang --buildtype=debugoptimized -Dwerror=true; then
		check "clang-tidy" sh tests/lint/tidy.sh build-clang
	fi
}

run_bench() {
	# shellcheck disable=SC2046
	install haproxy openssh-client openssh-server openssl nginx-light wrk curl python3-pytest
	say bench
	build_release || return
	for script in memory workers; do
		/usr/bin/python3 tests/bench/$script.py --bin build/gotunnel && count 1 0 || count 0 1
	done
	for script in bench observe faults; do
		out=
		[ $script != bench ] || out=${BENCH_OUT:+--out $BENCH_OUT}
		# shellcheck disable=SC2086
		/usr/bin/python3 tests/bench/$script.py --bin build/gotunnel ${BENCH_ARGS-} $out &&
			count 1 0 || count 0 1
	done
}

# shellcheck disable=SC2086
install $base
[ $# -gt 0 ] || set -- lint unit sim san fuzz e2e
for part; do
	case $part in
	unit | sim | san | fuzz | e2e | lint | bench) "run_$part" ;;
	*)
		printf 'usage: sh tests/run.sh [unit|sim|san|fuzz|e2e|lint|bench]...\n' >&2
		exit 2
		;;
	esac
done

printf '\n%s passed, %s failed\n' "$passed" "$failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
