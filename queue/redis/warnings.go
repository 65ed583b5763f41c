package redis

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/redis/rueidis"

	"github.com/verify-webhook/caddy-verify-webhook/internal/redisclient"
)

// Warnings implements [queue.Warner]. It returns the settings of the servers
// that endanger entries, and nothing while no server can be reached.
func (s *Store) Warnings(ctx context.Context) (warnings []string) {
	client := s.client.Raw()
	if client == nil {
		return nil
	}
	for address, node := range client.Nodes() {
		ctx, cancel := context.WithTimeout(ctx, s.client.Timeout())
		for _, w := range warningsOf(ctx, node) {
			warnings = append(warnings, w+" (at "+address+")")
		}
		cancel()
	}
	return warnings
}

func logWarnings(ctx context.Context, node rueidis.Client, logger *slog.Logger, address string) {
	if logger == nil {
		return
	}
	for _, w := range warningsOf(ctx, node) {
		logger.LogAttrs(ctx, slog.LevelWarn, w, slog.String("address", address))
	}
}

func warningsOf(ctx context.Context, node rueidis.Client) (warnings []string) {
	info, err := node.Do(ctx, node.B().Info().Build()).ToString()
	if err != nil {
		return []string{fmt.Sprintf("cannot read the settings of redis: %v; entries are safe only with maxmemory-policy noeviction, appendonly yes and appendfsync always", err)}
	}
	if policy := redisclient.InfoField(info, "maxmemory_policy"); policy != "noeviction" {
		warnings = append(warnings, fmt.Sprintf("redis may evict queued deliveries (maxmemory-policy %s): set maxmemory-policy to noeviction", policy))
	}
	if w := fsyncWarning(ctx, node, info); w != "" {
		warnings = append(warnings, w)
	}
	if n := redisclient.InfoField(info, "connected_slaves"); n != "" && n != "0" {
		warnings = append(warnings, "redis replicates asynchronously: a failover can lose deliveries that were accepted just before it, and repeat deliveries that were delivered just before it")
	}
	return warnings
}

func fsyncWarning(ctx context.Context, node rueidis.Client, info string) string {
	const advice = ": set appendonly to yes and appendfsync to always"
	if redisclient.InfoField(info, "aof_enabled") != "1" {
		return "redis has no append-only file: deliveries accepted since its last snapshot are lost when it restarts" + advice
	}
	setting, err := node.Do(ctx, node.B().ConfigGet().Parameter("appendfsync").Build()).AsStrMap()
	switch fsync := setting["appendfsync"]; {
	case err != nil:
		return "cannot read appendfsync of redis: unless it is always, a crash of its machine can lose deliveries that were accepted just before it"
	case fsync != "always":
		return fmt.Sprintf("redis writes accepted deliveries to disk with a delay (appendfsync %s): a crash of its machine can lose those of about the last second", fsync) + advice
	}
	return ""
}
