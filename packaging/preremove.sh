#!/bin/sh
# Stops Caddy when the package is removed, but not on an upgrade. dpkg passes "remove",
# rpm passes the number of versions that remain.
set -e

case "$1" in
remove | 0)
	if [ -d /run/systemd/system ]; then
		systemctl disable --now caddy.service
	fi
	;;
esac
