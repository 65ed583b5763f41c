package file_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/queue"
	"github.com/verify-webhook/caddy-verify-webhook/queue/file"
)

// A delivery is stored, leased by a worker and delivered. A retry of the provider,
// which has the same key, is not stored again.
func Example() {
	ctx := context.Background()
	folder, err := os.MkdirTemp("", "queue")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(folder)
	store, err := file.Open(file.Options{Path: filepath.Join(folder, "queue.db")})
	if err != nil {
		panic(err)
	}
	defer store.Close()

	const body = `{"order":1}`
	put := func() queue.PutResult {
		result, err := store.Put(ctx, queue.Put{
			Queue: "orders", Key: "evt_1", Remember: 7 * 24 * time.Hour,
			Request: queue.Request{Method: http.MethodPost, URI: "/webhooks/shop", Host: "hooks.example.com"},
			Body:    strings.NewReader(body), BodySize: int64(len(body)),
		})
		if err != nil {
			panic(err)
		}
		return result
	}
	fmt.Println("new:", put().Existing == 0)

	leases, _, err := store.Lease(ctx, "orders", 1, time.Minute)
	if err != nil {
		panic(err)
	}
	for _, lease := range leases {
		stream, err := lease.Body.Open(ctx)
		if err != nil {
			panic(err)
		}
		text, err := io.ReadAll(stream)
		_ = stream.Close()
		if err != nil {
			panic(err)
		}
		fmt.Println(lease.Entry.Request.Method, lease.Entry.Request.URI, string(text))
		delivered := queue.Outcome{Action: queue.Deliver, Result: queue.Result{Status: 200, At: time.Now()}}
		if err := store.Finish(ctx, lease, delivered); err != nil {
			panic(err)
		}
	}
	fmt.Println("stored before:", put().Existing)

	// Output:
	// new: true
	// POST /webhooks/shop {"order":1}
	// stored before: delivered
}
