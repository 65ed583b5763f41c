package queue

import (
	"context"
	"slices"
)

// Info is the state of one queue in the admin API.
type Info struct {
	Name string `json:"name"`
	// Configured: the running config has a webhook_queue of this name.
	Configured bool  `json:"configured"`
	Waiting    int64 `json:"waiting"`
	InFlight   int64 `json:"in_flight"`
	Dead       int64 `json:"dead"`
	// Tombstones are keys of delivered and discarded deliveries.
	Tombstones int64 `json:"tombstones"`
	Bytes      int64 `json:"bytes"`
	// OldestAge is in seconds.
	OldestAge float64 `json:"oldest_age"`
	Paused    bool    `json:"paused"`
	// AppDown: this Caddy instance cannot reach the app, or was asked to wait.
	AppDown bool `json:"app_down"`
}

// infos returns the state of the queues of the config and of all others in the
// store.
func (g *group) infos(ctx context.Context) ([]Info, error) {
	q, done, err := g.use(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	configured := g.names()
	stored, err := q.Names(ctx)
	if err != nil {
		return nil, err
	}
	all := slices.Concat(configured, stored)
	slices.Sort(all)
	var infos []Info
	for _, name := range slices.Compact(all) {
		stats, err := q.Stats(ctx, name)
		if err != nil {
			return nil, err
		}
		infos = append(infos, Info{
			Name: name, Configured: slices.Contains(configured, name),
			Waiting: stats.Waiting, InFlight: stats.InFlight, Dead: stats.Dead,
			Tombstones: stats.Tombstones, Bytes: stats.Bytes, OldestAge: stats.OldestWaiting.Seconds(),
			Paused: stats.Paused, AppDown: g.appIsDown(name),
		})
	}
	return infos, nil
}
