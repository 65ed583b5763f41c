package caddymodule

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

// meteredStore measures the operations of a store.
type meteredStore struct {
	replay.Store
	lost                           prometheus.Counter
	claim, renew, commit, release  operationMeters
	waitErrors, lookup, forgetting operationMeters
}

// operationMeters are the metrics of one operation of one store.
type operationMeters struct {
	time   prometheus.Observer
	errors prometheus.Counter
}

func newMeteredStore(s replay.Store, label string) *meteredStore {
	operation := func(name string) operationMeters {
		return operationMeters{meters.storeTime.WithLabelValues(label, name), meters.storeErrors.WithLabelValues(label, name)}
	}
	return &meteredStore{
		Store: s, lost: meters.lostClaims.WithLabelValues(label),
		claim: operation("claim"), renew: operation("renew"), commit: operation("commit"), release: operation("release"),
		// How long a wait takes says nothing about the store.
		waitErrors: operationMeters{errors: meters.storeErrors.WithLabelValues(label, "wait")},
		lookup:     operation("lookup"), forgetting: operation("forget"),
	}
}

func (o *operationMeters) done(start time.Time, err error) {
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

// claimLost counts a delivery whose success could not be remembered, because it
// has come again after its lease.
func (m *meteredStore) claimLost() { m.lost.Inc() }

// Release implements replay.Store.
func (m *meteredStore) Release(ctx context.Context, keys replay.Keys, owner replay.Owner, status int) error {
	start := time.Now()
	err := m.Store.Release(ctx, keys, owner, status)
	m.release.done(start, err)
	return err
}

// Wait implements replay.Store.
func (m *meteredStore) Wait(ctx context.Context, keys replay.Keys) (replay.Ending, error) {
	ending, err := m.Store.Wait(ctx, keys)
	m.waitErrors.done(time.Time{}, err)
	return ending, err
}

// Lookup implements replay.Store.
func (m *meteredStore) Lookup(ctx context.Context, keys []replay.Key) ([]replay.State, error) {
	start := time.Now()
	states, err := m.Store.Lookup(ctx, keys)
	m.lookup.done(start, err)
	return states, err
}

// Forget implements replay.Store.
func (m *meteredStore) Forget(ctx context.Context, keys []replay.Key) (int, error) {
	start := time.Now()
	n, err := m.Store.Forget(ctx, keys)
	m.forgetting.done(start, err)
	return n, err
}

// Interface guard.
var _ replay.Store = (*meteredStore)(nil)
