package memory_test

import (
	"context"
	"fmt"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
	"github.com/verify-webhook/caddy-verify-webhook/replay/memory"
)

// A delivery is claimed while the app works on it. After the commit, the same delivery
// is a duplicate.
func Example() {
	ctx := context.Background()
	store := memory.New(memory.Options{})

	key := replay.NewKey("orders", []byte("an identifier of the secret"), replay.KindID, "evt_1")
	keys := replay.Keys{Blocking: []replay.Key{key}}
	claim := func(owner replay.Owner) replay.Verdict {
		verdict, err := store.Claim(ctx, keys, owner, time.Minute)
		if err != nil {
			panic(err)
		}
		return verdict
	}

	owner := replay.NewOwner()
	fmt.Println(claim(owner) == replay.Ours)
	fmt.Println(claim(replay.NewOwner()) == replay.InProgress)
	if err := store.Commit(ctx, keys, owner, 7*24*time.Hour, 200); err != nil {
		panic(err)
	}
	fmt.Println(claim(replay.NewOwner()) == replay.Duplicate)

	// Output:
	// true
	// true
	// true
}
