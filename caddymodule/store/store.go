package store

import (
	"github.com/verify-webhook/caddy-verify-webhook/internal/pool"
	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

// acquire opens the store of a module, or shares it if it is already open.
func acquire[S replay.Store](slot *pool.Slot[S]) (replay.Store, func() error, error) {
	u, err := slot.Acquire()
	if err != nil {
		return nil, nil, err
	}
	return u.Store, u.Release, nil
}
