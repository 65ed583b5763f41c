#!/bin/sh
# Creates the user that Caddy runs as, and its folders. Runs after each installation
# and upgrade of the .deb and the .rpm.
set -e

getent group caddy >/dev/null || groupadd --system caddy
getent passwd caddy >/dev/null || useradd --system --gid caddy --home-dir /var/lib/caddy \
	--no-create-home --shell /usr/sbin/nologin --comment "Caddy web server" caddy
install -d -m 0750 -o caddy -g caddy /var/lib/caddy
install -d -m 0750 -o root -g caddy /etc/caddy/secrets

# Skipped in containers and in image builds.
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	# Restarts Caddy after an upgrade. The administrator starts it the first time,
	# when the Caddyfile is complete.
	systemctl try-restart caddy.service
fi
