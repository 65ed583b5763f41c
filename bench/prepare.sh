#!/bin/sh
# Installs what the benchmark compares with, mostly from Debian. What cannot be installed
# is skipped, and the table says so: so this never fails.
set -eu
cd "$(dirname "$0")/.."

missing=""
want() { # want FILE PACKAGE...: the packages that bring the file
	[ -e "$1" ] && return
	shift
	missing="$missing $*"
}
want /usr/lib/nginx/modules/ngx_http_lua_module.so nginx-light libnginx-mod-http-lua lua-luaossl
want /usr/lib/nginx/modules/ngx_http_js_module.so nginx-light libnginx-mod-http-js
want /usr/share/lua/5.1/openssl/hmac.lua lua-luaossl
want /usr/bin/redis-server redis-server

# What makes uvicorn fast, from where the rest of .venv came from.
python=.venv/bin/python
if ! "$python" -c 'import uvloop, httptools' 2>/dev/null &&
	! "$python" -m pip install --quiet --disable-pip-version-check uvloop httptools 2>/dev/null; then
	missing="$missing python3-uvloop python3-httptools"
fi
[ -z "$missing" ] && exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
	echo "to compare with all targets, please install$missing" >&2
	exit 0
fi
echo "installing$missing" >&2
apt-get update -qq || true
for package in $missing; do
	# Start no services: the benchmark starts what it measures.
	DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "$package" >/dev/null ||
		echo "$package cannot be installed" >&2
done
