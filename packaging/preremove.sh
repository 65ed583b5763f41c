#!/bin/sh
# Stops Caddy when the package goes, and not on an upgrade. A .deb says "remove",
# an .rpm the number of versions that stay.
set -e

case "$1" in
remove | 0)
	if [ -d /run/systemd/system ]; then
		systemctl disable --now caddy.service
	fi
	;;
esac
