//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/bench/load"
	"github.com/verify-webhook/caddy-verify-webhook/bench/target"
)

// profileSeconds is the duration of a profile.
const profileSeconds = 5

// profile writes a CPU profile for `go tool pprof` of a target that does the named
// work. The default target is verify_webhook with the store memory.
func profile(ctx context.Context, o options, dir, workName, path string) error {
	env, err := environment(o, dir)
	if err != nil {
		return err
	}
	app, err := target.StartApp(ctx, env, 0)
	if err != nil {
		return err
	}
	defer app.Stop()
	env.Upstream, env.Profiled = app.Address, true
	name := target.Memory
	if o.only != "" {
		name = o.only
	}
	server, err := target.Start(ctx, env, name)
	if err != nil {
		return err
	}
	defer server.Stop()

	for _, w := range works {
		if w.Name == workName {
			return profileOf(ctx, server, w, path)
		}
	}
	return fmt.Errorf("there is no work %q", workName)
}

func profileOf(ctx context.Context, server *target.Target, w work, path string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		signer := load.NewSigner(secret)
		for ctx.Err() == nil {
			load.Run(ctx, load.Plan{Address: server.Address, Batch: signer.Sign(w.Kind, w.Size, w.Deliveries), Connections: w.Connections, Most: mostOfOne})
		}
	}()
	defer func() {
		cancel()
		<-done
	}()

	url := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", server.Admin, profileSeconds)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	client := http.Client{Timeout: 2 * profileSeconds * time.Second}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("taking a profile: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, response.Body); err != nil {
		_ = f.Close()
		return fmt.Errorf("taking a profile: %w", err)
	}
	return f.Close()
}
