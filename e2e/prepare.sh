#!/bin/sh
# Installs the programs that the tests need in addition to Go and Python: a C compiler
# for the race detector, Node, a Redis server, Prometheus, Chromium, systemd-analyze. Does
# nothing if all are installed. Package prepared provides npm packages, a Python
# environment and Caddy.
set -eu
cd "$(dirname "$0")"

# debian NAME...: installs Debian packages, or prints which ones to install.
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
command -v prlimit >/dev/null || debian util-linux # to simulate full disks
command -v strace >/dev/null || debian strace # to record writes and syncs for simulated power cuts
command -v chromium >/dev/null || command -v google-chrome >/dev/null || debian chromium fonts-dejavu-core # to test the inspector's page
command -v promtool >/dev/null || debian prometheus # to test the dashboard and alerts
command -v systemd-analyze >/dev/null || debian systemd # to verify units
