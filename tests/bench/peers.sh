#!/bin/sh
# Installs what the bench measures gotunnel beside.
#
#	sh tests/bench/peers.sh
#
# HAProxy, OpenSSH and nginx are Debian's. rathole and bore come from crates.io, chisel and frp,
# where there is a Go, from the Go module proxy; they go to ~/.cache/gotunnel-bench/bin (or below
# $XDG_CACHE_HOME), where the bench looks, and take some minutes to build. What is there already
# is left alone; what does not build is said, and the bench runs without it. Whatever libraries
# they bring are theirs: none of them enters gotunnel's process.
set -u

cache=${XDG_CACHE_HOME:-$HOME/.cache}/gotunnel-bench
bin=$cache/bin
failed=
PATH=$PATH:$HOME/.cargo/bin:/usr/local/go/bin
mkdir -p "$bin" || exit 1

missing() {
	[ ! -x "$bin/$1" ]
}

# try NAME COMMAND...
try() {
	name=$1
	shift
	printf '==> %s\n' "$name"
	"$@" >"$cache/$name.log" 2>&1 </dev/null && return
	tail -n 5 "$cache/$name.log"
	printf '%s does not build: see %s\n' "$name" "$cache/$name.log"
	failed="$failed $name"
}

debian() {
	sudo=
	[ "$(id -u)" = 0 ] || sudo=sudo
	# Servers are started by the bench, not by their packages.
	DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 $sudo apt-get install -y \
		--no-install-recommends "$@"
}

# rathole's own lock file names a crate that the Rust of today does not compile: so without it.
rathole() {
	cargo install --root "$cache" rathole --version 0.5.0 --no-default-features \
		--features server,client,tls
}

# from_module MODULE@VERSION PACKAGE...: in a copy, as go install refuses frp's module, which
# replaces others, and wants a list of versions that not every proxy has.
from_module() {
	module=github.com/$1
	named="-X github.com/jpillora/chisel/share.BuildVersion=${1#*@}"
	shift
	go mod download "$module" || return
	rm -rf "$cache/source" || return
	cp -r "$(go env GOMODCACHE)/$module" "$cache/source" && chmod -R u+w "$cache/source" &&
		(cd "$cache/source" && go build -trimpath -ldflags="-s $named" -o "$bin/" "$@")
	done=$?
	rm -rf "$cache/source"
	return $done
}

try debian debian haproxy openssh-client openssh-server openssl nginx-light wrk curl \
	pkg-config libssl-dev
if command -v cargo >/dev/null; then
	if missing bore; then
		try bore cargo install --locked --root "$cache" bore-cli --version 0.6.0
	fi
	if missing rathole; then
		try rathole rathole
	fi
else
	printf 'no cargo: bore and rathole are left out\n'
fi
if command -v go >/dev/null; then
	if missing chisel; then
		try chisel from_module jpillora/chisel@v1.10.1 .
	fi
	if missing frps || missing frpc; then
		try frp from_module fatedier/frp@v0.61.1 ./cmd/frps ./cmd/frpc
	fi
else
	printf 'no go: chisel and frp are left out\n'
fi
ls "$bin"
[ -z "$failed" ]
