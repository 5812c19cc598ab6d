#!/bin/sh
# From a fresh Debian to a working tunnel on this machine.
#
#	sh src/quickstart.sh		build, and show a tunnel at work
#	sh src/quickstart.sh deps	install the packages that building needs
#	sh src/quickstart.sh install	build and install under $DESTDIR/usr/local
#	sh src/quickstart.sh bundle	one executable with everything in it
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
packages="meson ninja-build gcc g++ pkg-config libuv1-dev libjansson-dev
	android-libboringssl-dev scdoc python3"

step() {
	printf '%s\n' "==> $*"
}

die() {
	printf 'quickstart: %s\n' "$1" >&2
	shift
	for line; do
		printf '  %s\n' "$line" >&2
	done
	exit 1
}

# The packages of "$@" that are not installed.
missing() {
	for p; do
		dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null | grep -qx installed ||
			printf '%s ' "$p"
	done
}

install_packages() {
	wanted=$(missing "$@")
	[ -n "$wanted" ] || return 0
	line="apt-get install -y --no-install-recommends $wanted"
	if [ "$(id -u)" = 0 ]; then
		sudo=
	elif command -v sudo >/dev/null 2>&1 && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
		sudo=sudo
	else
		die "these packages are missing: $wanted" "run as root: $line"
	fi
	step "installing $wanted"
	log=$(mktemp)
	# A list of packages from before is often enough; if not, fetch a new one.
	# shellcheck disable=SC2086
	if ! DEBIAN_FRONTEND=noninteractive $sudo $line >"$log" 2>&1 </dev/null; then
		$sudo apt-get update >"$log" 2>&1 </dev/null &&
			DEBIAN_FRONTEND=noninteractive $sudo $line >>"$log" 2>&1 </dev/null || {
			tail -n 20 "$log" >&2
			rm -f "$log"
			die "apt-get could not install: $wanted" "try: $line"
		}
	fi
	rm -f "$log"
}

# build TARGET DIR [meson option]...; TARGET all is what install takes, too
build() {
	target=$1 dir=$2
	shift 2
	[ "$target" = all ] && target=
	step "building in $dir; this may take a minute"
	log=$(mktemp)
	{
		if [ -f "$top/$dir/build.ninja" ]; then
			meson setup --reconfigure "$@" "$top/$dir" "$top"
		else
			meson setup "$@" "$top/$dir" "$top"
		fi && meson compile -C "$top/$dir" ${target:+"$target"}
	} >"$log" 2>&1 </dev/null || {
		tail -n 40 "$log" >&2
		rm -f "$log"
		die "the build failed" "the whole story: meson compile -C $dir"
	}
	rm -f "$log"
}

version() {
	"$1" version | sed -n 's/^gotunnel //p'
}

# --- a tunnel on this machine -------------------------------------------------

free_port() {
	python3 - <<-'PY'
	import socket
	s = socket.socket()
	s.bind(("127.0.0.1", 0))
	print(s.getsockname()[1])
	PY
}

demo=
pids=
clean_up() {
	trap - EXIT INT TERM HUP
	for pid in $pids; do
		kill "$pid" 2>/dev/null || :
	done
	for pid in $pids; do
		wait "$pid" 2>/dev/null || :
	done
	[ -z "$demo" ] || rm -rf "$demo"
}

# wait_for WHAT COMMAND...: up to 20 s.
wait_for() {
	what=$1
	shift
	tries=0
	until "$@"; do
		tries=$((tries + 1))
		if [ $tries -gt 200 ]; then
			cat "$demo"/*.err >&2
			die "$what did not happen within 20 s"
		fi
		sleep 0.1
	done
}

fetch() {
	python3 - "$1" <<-'PY'
	import sys, urllib.request
	opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
	sys.stdout.write(opener.open(sys.argv[1], timeout=10).read().decode())
	PY
}

show() {
	bin=$top/build/gotunnel
	demo=$(mktemp -d)
	trap clean_up EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	mkdir "$demo/site"
	export RUNTIME_DIRECTORY="$demo/run"
	printf 'Hello from behind the tunnel.\n' >"$demo/site/index.html"
	control=$(free_port) first=$(free_port) site=$(free_port)

	step "starting a small site on 127.0.0.1:$site"
	python3 -m http.server "$site" --bind 127.0.0.1 --directory "$demo/site" \
		>"$demo/site.log" 2>"$demo/site.err" </dev/null &
	pids="$pids $!"
	step "starting gotunnel server on 127.0.0.1:$control"
	env -u GOTUNNEL_TOKEN -u GOTUNNEL_TOKEN_FILE "$bin" server --addr "127.0.0.1:$control" \
		--start-port "$first" --bind-host 127.0.0.1 --state-dir "$demo/server" \
		>"$demo/server.log" 2>"$demo/server.err" </dev/null &
	pids="$pids $!"
	wait_for "the server's start" grep -q 'Ready for connections' "$demo/server.err"
	step "starting gotunnel client for 127.0.0.1:$site"
	env -u GOTUNNEL_TOKEN -u GOTUNNEL_TOKEN_FILE "$bin" client --server "127.0.0.1:$control" \
		--local "http://127.0.0.1:$site" --token dev-token --state-dir "$demo/client" \
		>"$demo/client.log" 2>"$demo/client.err" </dev/null &
	pids="$pids $!"
	wait_for "the tunnel" grep -q '^Forwarding ' "$demo/client.log"
	address=$(sed -n 's/^Forwarding \([^ ]*\) .*/\1/p' "$demo/client.log")
	wait_for "the site's start" fetch "$address/" >/dev/null 2>&1

	step "fetching $address/"
	answer=$(fetch "$address/")
	line=$(sed -n 's/.* INFO  \(HTTP  .*\)/\1/p' "$demo/client.err" | tail -n 1)
	cat <<-END

	Built      $bin ($(version "$bin"))
	Address    $address
	Answer     $answer
	Its line   $line

	Next, on a machine that others can reach:

	  $bin server

	It prints the command for the machine with your service. Or install it on
	both: sh src/quickstart.sh install

	END
	if [ -t 1 ] && [ -t 0 ]; then
		printf 'The tunnel stays open until you press Ctrl-C. Its traffic, from another terminal:\n\n'
		printf '  %s stats --watch --socket %s\n' "$bin" "$demo"/run/client-*.sock
		wait
	fi
}

# --- install and bundle ---------------------------------------------------------

as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null 2>&1; then
		sudo "$@"
	else
		die "installing under /usr/local needs root" "run as root: sh src/quickstart.sh install"
	fi
}

# A staging folder belongs to who asks for it, and sudo would not pass its name on.
install_all() {
	build all build --buildtype=release --prefix=/usr/local
	dest=${DESTDIR-}
	step "installing under $dest/usr/local"
	if [ -n "$dest" ]; then
		meson install -C "$top/build" --no-rebuild --destdir "$dest" >/dev/null
	else
		as_root meson install -C "$top/build" --no-rebuild >/dev/null
	fi
	bin=$dest/usr/local/bin/gotunnel
	cat <<-END

	Installed  $bin ($(version "$bin")), gotunnel-server, gotunnel-client

	On the machine that others can reach:   gotunnel server
	On the machine with your service:       the command that it prints, as
	                                        gotunnel client --server HOST --local localhost:3000
	END
}

# wrap_says WRAP KEY
wrap_says() {
	sed -n "s/^$2 = //p" "$top/subprojects/$1.wrap"
}

# in_cache WRAP: its source lies where meson takes it from. Sets file.
in_cache() {
	file=$(wrap_says "$1" source_filename)
	hash=$(wrap_says "$1" source_hash)
	[ -f "$cache/$file" ] && printf '%s  %s\n' "$hash" "$cache/$file" |
		sha256sum -c --status 2>/dev/null
}

# leave_whole WRAP: meson builds a folder of sources as it finds it. One that an interrupted
# run left, or that an older checkout patched, is unpacked anew, and a broken download
# fetched anew.
leave_whole() {
	folder=$(wrap_says "$1" directory)
	cmp -s "$top/subprojects/packagefiles/$1/meson.build" \
		"$top/subprojects/$folder/meson.build" || rm -rf "$top/subprojects/${folder:?$1.wrap}"
	in_cache "$1" || rm -f "$cache/$file"
}

# fetch_debian WRAP PACKAGE: from Debian's archive, or where a mirror of the wrap is
# reachable.
fetch_debian() {
	in_cache "$1" && return
	step "fetching the source of $1"
	tmp=$(mktemp -d)
	mkdir -p "$tmp/lists/partial"
	# The machine's own sources, but for source packages.
	if ls /etc/apt/sources.list.d/*.sources >/dev/null 2>&1; then
		sed 's/^Types:.*/Types: deb-src/' /etc/apt/sources.list.d/*.sources \
			>"$tmp/src.sources"
	fi
	list=$tmp/src.sources
	if [ ! -s "$list" ]; then
		list=$tmp/src.list
		sed -n 's/^deb /deb-src /p' /etc/apt/sources.list >"$list"
	fi
	wrap=$1 package=$2
	set -- -o "Dir::Etc::sourcelist=$list" -o Dir::Etc::sourceparts=/dev/null \
		-o "Dir::State::lists=$tmp/lists" -o APT::Sandbox::User= \
		-o "Dir::Cache::srcpkgcache=" -o "Dir::Cache::pkgcache="
	if (cd "$tmp" && apt-get "$@" update && apt-get "$@" source --download-only \
		"$package") >"$tmp/log" 2>&1 </dev/null && [ -f "$tmp/$file" ]; then
		mv "$tmp/$file" "$cache/"
	else
		tail -n 5 "$tmp/log" >&2
		printf 'quickstart: leaving the download of %s to meson\n' "$wrap" >&2
	fi
	rm -rf "$tmp"
}

# BoringSSL of today is a crate, and twice as fast at AES where the processor has VAES; where
# crates.io is out of reach, Debian's does. Sets boringssl to which.
fetch_sources() {
	cache=$top/subprojects/packagecache
	mkdir -p "$cache"
	for wrap in boringssl boringssl-debian libuv jansson; do
		leave_whole "$wrap"
	done
	boringssl=boringssl
	step "fetching the source of BoringSSL"
	if ! log=$(timeout 120 meson subprojects download --sourcedir "$top" boringssl 2>&1 </dev/null)
	then
		printf '%s\n' "$log" | tail -n 5 >&2
		printf 'quickstart: crates.io does not answer; taking Debian'"'"'s older BoringSSL\n' >&2
		boringssl=boringssl-debian
		fetch_debian boringssl-debian android-platform-external-boringssl
	fi
	fetch_debian libuv libuv1
	fetch_debian jansson jansson
}

# licenses FOLDER: of what is linked in.
licenses() {
	mkdir "$1"
	for wrap in $boringssl libuv jansson; do
		from=$top/subprojects/$(wrap_says "$wrap" directory)
		for text in "$from/deps/boringssl/LICENSE" "$from/src/LICENSE" "$from/LICENSE"; do
			[ -f "$text" ] || continue
			cp "$text" "$1/$wrap"
			break
		done
	done
}

bundle() {
	fetch_sources
	step "compiling BoringSSL, too: that takes some minutes"
	build all build-bundle --buildtype=release --strip --prefix=/usr \
		"--force-fallback-for=$boringssl,libuv,jansson"
	name=gotunnel-$(version "$top/build-bundle/gotunnel")-$(uname -m)
	step "packing $name.tar.gz"
	stage=$(mktemp -d)
	DESTDIR=$stage/root meson install -C "$top/build-bundle" --no-rebuild --skip-subprojects \
		>/dev/null
	mkdir "$stage/$name"
	cp -a "$stage/root/usr/bin/." "$stage/$name/"
	[ ! -d "$stage/root/usr/share" ] || cp -a "$stage/root/usr/share" "$stage/$name/share"
	cp "$top/LICENSE" "$stage/$name/"
	licenses "$stage/$name/licenses"
	size=$(stat -c %s "$stage/$name/gotunnel")
	if [ "$size" -gt 2097152 ]; then
		rm -rf "$stage"
		die "the executable has $size bytes, more than 2 MiB"
	fi
	tar -C "$stage" --owner=0 --group=0 --sort=name -czf "$top/$name.tar.gz" "$name"
	rm -rf "$stage"
	cat <<-END

	Packed     $top/$name.tar.gz (executable: $((size / 1024)) KiB)

	  scp $name.tar.gz SERVER: && ssh -t SERVER 'tar xzf $name.tar.gz && $name/gotunnel server'

	END
}

case ${1-} in
'')
	install_packages $packages
	build gotunnel:executable build --buildtype=release
	show
	;;
deps)
	install_packages $packages
	step "nothing is missing"
	;;
install)
	install_packages $packages
	install_all
	;;
bundle)
	install_packages $packages ca-certificates
	bundle
	;;
*)
	printf 'usage: sh src/quickstart.sh [deps|install|bundle]\n' >&2
	exit 2
	;;
esac
