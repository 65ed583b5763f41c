package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

// gateStore is a store as the handler uses it. Operations that the store does not
// implement fail with [errors.ErrUnsupported].
type gateStore interface {
	replay.Store
	replay.Lookuper
	replay.Forgetter
	replay.StatsReporter
}

// meteredStore measures the operations of a store.
type meteredStore struct {
	replay.Store
	lost                           prometheus.Counter
	claim, renew, commit, release  operationMetrics
	waitErrors, lookup, forgetting operationMetrics
}

// operationMetrics are the metrics of one operation of one store.
type operationMetrics struct {
	time   prometheus.Observer
	errors prometheus.Counter
}

func newMeteredStore(s replay.Store, label string) *meteredStore {
	operation := func(name string) operationMetrics {
		return operationMetrics{metrics.storeTime.WithLabelValues(label, name), metrics.storeErrors.WithLabelValues(label, name)}
	}
	return &meteredStore{
		Store: s, lost: metrics.lostClaims.WithLabelValues(label),
		claim: operation("claim"), renew: operation("renew"), commit: operation("commit"), release: operation("release"),
		// The duration of a wait does not depend on the store.
		waitErrors: operationMetrics{errors: metrics.storeErrors.WithLabelValues(label, "wait")},
		lookup:     operation("lookup"), forgetting: operation("forget"),
	}
}

// forgetStoreMetrics removes the metrics of a store.
func forgetStoreMetrics(label string) {
	labels := prometheus.Labels{"store": label}
	metrics.storeTime.DeletePartialMatch(labels)
	metrics.storeErrors.DeletePartialMatch(labels)
	metrics.lostClaims.DeletePartialMatch(labels)
}

func (o *operationMetrics) done(start time.Time, err error) {
	if o.time != nil {
		o.time.Observe(time.Since(start).Seconds())
	}
	if err != nil && !errors.Is(err, replay.ErrNotOwner) && !errors.Is(err, context.Canceled) {
		o.errors.Inc()
	}
}

// Claim implements replay.Store.
func (m *meteredStore) Claim(ctx context.Context, keys replay.Keys, owner replay.Owner, lease time.Duration) (replay.Verdict, error) {
	start := time.Now()
	verdict, err := m.Store.Claim(ctx, keys, owner, lease)
	m.claim.done(start, err)
	return verdict, err
}

// Renew implements replay.Store.
func (m *meteredStore) Renew(ctx context.Context, keys replay.Keys, owner replay.Owner, lease time.Duration) error {
	start := time.Now()
	err := m.Store.Renew(ctx, keys, owner, lease)
	m.renew.done(start, err)
	return err
}

// Commit implements replay.Store.
func (m *meteredStore) Commit(ctx context.Context, keys replay.Keys, owner replay.Owner, window time.Duration, status int) error {
	start := time.Now()
	err := m.Store.Commit(ctx, keys, owner, window, status)
	m.commit.done(start, err)
	return err
}

// claimLost counts a delivery whose success could not be recorded, because a copy
// has arrived after its lease.
func (m *meteredStore) claimLost() { m.lost.Inc() }

// Release implements replay.Store.
func (m *meteredStore) Release(ctx context.Context, keys replay.Keys, owner replay.Owner, status int) error {
	start := time.Now()
	err := m.Store.Release(ctx, keys, owner, status)
	m.release.done(start, err)
	return err
}

// Wait implements replay.Store.
func (m *meteredStore) Wait(ctx context.Context, keys replay.Keys) (replay.Resolution, error) {
	resolution, err := m.Store.Wait(ctx, keys)
	m.waitErrors.done(time.Time{}, err)
	return resolution, err
}

// Lookup implements replay.Lookuper.
func (m *meteredStore) Lookup(ctx context.Context, keys []replay.Key) ([]replay.State, error) {
	store, ok := m.Store.(replay.Lookuper)
	if !ok {
		return nil, fmt.Errorf("this replay store cannot look deliveries up: %w", errors.ErrUnsupported)
	}
	start := time.Now()
	states, err := store.Lookup(ctx, keys)
	m.lookup.done(start, err)
	return states, err
}

// Forget implements replay.Forgetter.
func (m *meteredStore) Forget(ctx context.Context, keys []replay.Key) (int, error) {
	store, ok := m.Store.(replay.Forgetter)
	if !ok {
		return 0, fmt.Errorf("this replay store cannot forget deliveries: %w", errors.ErrUnsupported)
	}
	start := time.Now()
	n, err := store.Forget(ctx, keys)
	m.forgetting.done(start, err)
	return n, err
}

// Stats implements replay.StatsReporter.
func (m *meteredStore) Stats() replay.Stats {
	if store, ok := m.Store.(replay.StatsReporter); ok {
		return store.Stats()
	}
	return replay.Stats{Remembered: -1, Claimed: -1, Capacity: -1}
}

// Interface guard.
var _ gateStore = (*meteredStore)(nil)
