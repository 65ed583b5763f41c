#!/bin/sh
# Installs the programs that the benchmark compares with, mostly from Debian. It never
# fails: programs that cannot be installed are skipped and listed as such in the tables.
set -eu
cd "$(dirname "$0")/.."

missing=""
want() { # want FILE PACKAGE...: add the packages to $missing if the file does not exist
	[ -e "$1" ] && return
	shift
	missing="$missing $*"
}
want /usr/lib/nginx/modules/ngx_http_lua_module.so nginx-light libnginx-mod-http-lua lua-luaossl
want /usr/lib/nginx/modules/ngx_http_js_module.so nginx-light libnginx-mod-http-js
want /usr/share/lua/5.1/openssl/hmac.lua lua-luaossl
want /usr/bin/redis-server redis-server

# uvloop and httptools make uvicorn fast. Install them with pip, like the rest of .venv.
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
