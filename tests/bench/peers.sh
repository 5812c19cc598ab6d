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

# frp's module replaces others, so it is built in a copy and not by go install.
frp() {
	version=v0.61.1
	go mod download "github.com/fatedier/frp@$version" || return
	rm -rf "$cache/frp" || return
	cp -r "$(go env GOMODCACHE)/github.com/fatedier/frp@$version" "$cache/frp" &&
		chmod -R u+w "$cache/frp" && cd "$cache/frp" &&
		go build -o "$bin/" ./cmd/frps ./cmd/frpc
	done=$?
	cd "$cache" && rm -rf "$cache/frp"
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
		try chisel env GOBIN="$bin" go install github.com/jpillora/chisel@v1.10.1
	fi
	if missing frps || missing frpc; then
		try frp frp
	fi
else
	printf 'no go: chisel and frp are left out\n'
fi
ls "$bin"
[ -z "$failed" ]
