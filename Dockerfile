# Caddy with verify_webhook: https://github.com/verify-webhook/caddy-verify-webhook
#
#   docker build -t caddy-verify-webhook .                     # distroless (the default)
#   docker build -t caddy-verify-webhook --target official .   # on Caddy's own image, with a shell
#
# Both run as user 65532, write only to /data, and listen on ports above 1023:
# docs/operating.md#docker.
ARG CADDY_VERSION=2.11.9

FROM --platform=$BUILDPLATFORM caddy:${CADDY_VERSION}-builder AS build
ARG CADDY_VERSION
ARG TARGETOS
ARG TARGETARCH
ENV CGO_ENABLED=0
WORKDIR /src
COPY . .
# With a version, the build does not depend on whether one is published.
RUN GOOS=$TARGETOS GOARCH=$TARGETARCH xcaddy build "v${CADDY_VERSION}" \
	--output /image/usr/bin/caddy \
	--with github.com/verify-webhook/caddy-verify-webhook@v0.0.0 \
	--replace github.com/verify-webhook/caddy-verify-webhook=/src
# A new volume inherits the mode and the owner of /data.
RUN install -d -o 65532 -g 65532 -m 0700 /image/data \
	&& install -D -m 0644 packaging/container.Caddyfile /image/etc/caddy/Caddyfile \
	&& install -d /image/usr/share/doc/caddy-verify-webhook \
	&& install -m 0644 LICENSE THIRD_PARTY_LICENSES /image/usr/share/doc/caddy-verify-webhook/

FROM caddy:${CADDY_VERSION} AS official
COPY --from=build /image /
LABEL org.opencontainers.image.title=caddy-verify-webhook \
	org.opencontainers.image.description="Caddy with a module that verifies webhooks and rejects replays" \
	org.opencontainers.image.source=https://github.com/verify-webhook/caddy-verify-webhook \
	org.opencontainers.image.licenses=Apache-2.0
ENV XDG_DATA_HOME=/data XDG_CONFIG_HOME=/data TMPDIR=/data
USER 65532:65532
WORKDIR /data
VOLUME /data
EXPOSE 8080 8443 8443/udp
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["/usr/bin/caddy", "verify-webhook", "health"]
ENTRYPOINT ["/usr/bin/caddy"]
CMD ["run", "--config", "/etc/caddy/Caddyfile"]

# Contains CA certificates, time zones and one program, without a shell or a package
# manager. Caddy needs no init: it starts no processes and exits on SIGTERM.
FROM gcr.io/distroless/static-debian12:nonroot AS distroless
COPY --from=build /image /
LABEL org.opencontainers.image.title=caddy-verify-webhook \
	org.opencontainers.image.description="Caddy with a module that verifies webhooks and rejects replays" \
	org.opencontainers.image.source=https://github.com/verify-webhook/caddy-verify-webhook \
	org.opencontainers.image.licenses=Apache-2.0
ENV XDG_DATA_HOME=/data XDG_CONFIG_HOME=/data TMPDIR=/data
USER 65532:65532
WORKDIR /data
VOLUME /data
EXPOSE 8080 8443 8443/udp
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["/usr/bin/caddy", "verify-webhook", "health"]
ENTRYPOINT ["/usr/bin/caddy"]
CMD ["run", "--config", "/etc/caddy/Caddyfile"]
