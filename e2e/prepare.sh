#!/bin/sh
# Installs the programs that the tests need beside Go and Python: a C compiler for the
# race detector, Node, a Redis server, Prometheus, Chromium, systemd-analyze. Does nothing if all are there.
# Package prepared does the rest: npm packages, a Python environment, Caddy.
set -eu
cd "$(dirname "$0")"

# debian NAME...: installs Debian packages, or says which are needed.
debian() {
	if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
		echo "please install $* and try again" >&2
		exit 1
	fi
	echo "installing $*" >&2
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

command -v "$(go env CC)" >/dev/null || debian gcc libc6-dev
command -v npm >/dev/null || debian nodejs npm
command -v redis-server >/dev/null || command -v valkey-server >/dev/null || debian redis-server
command -v prlimit >/dev/null || debian util-linux # full disks are made with it
command -v strace >/dev/null || debian strace # what a power cut leaves is found out with it
command -v chromium >/dev/null || command -v google-chrome >/dev/null || debian chromium fonts-dejavu-core # the inspector's page is tested with it
command -v promtool >/dev/null || debian prometheus # its dashboard and alerts are tested with it
command -v systemd-analyze >/dev/null || debian systemd # units are verified with it
