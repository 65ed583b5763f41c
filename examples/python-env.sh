#!/bin/sh
# Creates .venv for the example apps from PyPI, or from Debian packages if PyPI is
# unreachable. Does nothing if .venv is up to date.
set -eu
cd "$(dirname "$0")/.."

requirements="examples/flask/requirements.txt examples/fastapi/requirements.txt examples/django/requirements.txt examples/signed/requirements.txt"
wanted=$(cat $requirements | cksum)
python=${PYTHON:-python3}

if [ "$(cat .venv/prepared 2>/dev/null)" = "$wanted" ] && .venv/bin/python -c 'import flask, gunicorn, fastapi, uvicorn, django' 2>/dev/null; then
	exit 0
fi

# debian NAME...: installs Debian packages, or prints which ones to install.
debian() {
	if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
		echo "please install $*, or make PyPI reachable, and try again" >&2
		exit 1
	fi
	echo "installing $*" >&2
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

from_pypi() {
	"$python" -m venv --clear .venv >/dev/null 2>&1 || {
		debian python3 python3-venv
		"$python" -m venv --clear .venv
	}
	set --
	for file in $requirements; do set -- "$@" -r "$file"; done
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input --timeout 20 --retries 1 "$@"
}

from_debian() {
	debian python3-flask gunicorn python3-fastapi uvicorn python3-django
	# Debian's packages need Debian's Python, which may not be the first one in PATH.
	/usr/bin/python3 -m venv --clear --without-pip --system-site-packages .venv
}

if ! from_pypi; then
	echo "installing from PyPI failed: using Debian packages" >&2
	from_debian
fi
.venv/bin/python -c 'import flask, gunicorn, fastapi, uvicorn, django'
echo "$wanted" >.venv/prepared
