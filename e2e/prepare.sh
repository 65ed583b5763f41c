#!/bin/sh
# Installs what the tests need beside Go and Python: a C compiler for the race
# detector, Prometheus, a Redis server, the providers' own libraries, which sign in
# the end-to-end tests, and what the Express example depends on. Does nothing if all
# is there.
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
command -v promtool >/dev/null || debian prometheus # its dashboard and alerts are tested with it

for folder in signers ../examples/express; do
	(
		cd "$folder"
		wanted=$(cksum <package-lock.json)
		if [ "$(cat node_modules/prepared 2>/dev/null)" != "$wanted" ]; then
			npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
			echo "$wanted" >node_modules/prepared
		fi
	)
done
