#!/bin/sh
# Makes the user that Caddy runs as, and its folder. Runs after each installation
# and upgrade, of the .deb and of the .rpm.
set -e

getent group caddy >/dev/null || groupadd --system caddy
getent passwd caddy >/dev/null || useradd --system --gid caddy --home-dir /var/lib/caddy \
	--no-create-home --shell /usr/sbin/nologin --comment "Caddy web server" caddy
install -d -m 0750 -o caddy -g caddy /var/lib/caddy
install -d -m 0750 -o root -g caddy /etc/caddy/secrets

# Not in a container or an image that is being made.
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	# An upgrade. The first start is the administrator's, once the Caddyfile is right.
	systemctl try-restart caddy.service
fi
