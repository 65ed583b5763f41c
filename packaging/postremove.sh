#!/bin/sh
# Keeps /var/lib/caddy, with certificates and handled deliveries, unless the .deb is
# purged.
set -e

if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi
if [ "$1" = purge ]; then
	rm -rf /var/lib/caddy
	rmdir /etc/caddy/secrets /etc/caddy 2>/dev/null || true
fi
