#!/usr/bin/env bash
# Runs the Redis tests against each version in build/redis: the conformance suites of
# the replay store and the queue, TLS, faults of the server, and failovers of a Cluster
# and by Sentinel under load.
#
#   run.sh [NAME...]    only these versions, such as redis-7.2
set -euo pipefail
cd "$(dirname "$0")/../.."

versions=("$@")
if ((${#versions[@]} == 0)); then
	for server in build/redis/*/redis-server; do versions+=("$(basename "$(dirname "$server")")"); done
fi
failed=()
for name in "${versions[@]}"; do
	export REDIS_SERVER=$PWD/build/redis/$name/redis-server
	echo "== $name: $("$REDIS_SERVER" --version)"
	skip=()
	if [[ $name == valkey-9.1 ]]; then
		echo "-- skipping tests with TLS: this server is built without it"
		skip=(-skip TLS)
	fi
	${GO:-go} test -count 1 "${skip[@]}" ./replay/redis ./queue/redis ./internal/redisclient ./caddymodule/store ./caddymodule/queue || failed+=("$name")
	(cd e2e && ${GO:-go} test -count 1 ./faults -run 'Redis|Failover') || failed+=("$name, end to end")
done
if ((${#failed[@]} > 0)); then
	printf 'failed: %s\n' "${failed[@]}" >&2
	exit 1
fi
