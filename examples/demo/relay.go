package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/delivery"
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/process"
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/sidecar"
)

const relayToken = "0123456789abcdef0123456789abcdef"

// relay is a Caddy server on the internet and a laptop that listens to it. The laptop
// runs one of the apps behind its own Caddy.
type relay struct {
	app      // the provider sends to its site, and its requests are those of the laptop's app
	listener *process.Process
}

// startRelay starts Caddy and listens for the app. The caller must stop the result,
// even if there is an error.
func startRelay(ctx context.Context, examples, work, caddy string, laptop *app) (*relay, error) {
	address, err := process.FreeAddress()
	if err != nil {
		return nil, err
	}
	r := &relay{app: app{name: "relay", folder: laptop.folder, site: "http://" + address, github: laptop.github}}
	state := filepath.Join(work, "relay")
	if err := os.MkdirAll(state, 0o700); err != nil {
		return r, err
	}
	r.caddy, err = sidecar.Start(ctx, sidecar.Config{
		Binary: caddy, Caddyfile: filepath.Join(examples, "relay", "Caddyfile"), State: state,
		Env: []string{"SITE=" + r.site, "GITHUB_WEBHOOK_SECRET=" + r.github, "RELAY_TOKEN=" + relayToken},
	})
	if err != nil {
		return r, err
	}
	connected := make(chan struct{}, 1)
	r.listener, err = process.Start(process.Command{
		Path: caddy,
		Args: []string{"verify-webhook", "listen", r.site + "/relay", "--token", "env:RELAY_TOKEN", "--to", laptop.site, "--json"},
		Env:  []string{"RELAY_TOKEN=" + relayToken},
		Line: func([]byte) { // the first line means that it is connected
			select {
			case connected <- struct{}{}:
			default:
			}
		},
	})
	if err != nil {
		return r, fmt.Errorf("listening: %w", err)
	}
	select {
	case <-connected:
		return r, nil
	case <-ctx.Done():
		return r, fmt.Errorf("connecting to the relay: %w\n%s", ctx.Err(), r.listener.Output())
	}
}

// stop stops those of both that were started.
func (r *relay) stop() error {
	if r == nil {
		return nil
	}
	if r.listener != nil {
		if err := r.listener.Stop(); err != nil {
			return err
		}
	}
	return r.app.stop()
}

// relaySteps returns the steps for the Caddy server on the internet.
func relaySteps(secret string) []step {
	const id, event = "9b2f7c1e-0000-4000-8000-000000009001", "issues"
	genuine := delivery.GitHub(secret, id, event, githubBody(9001))
	told := identity{"github", id, event}
	return []step{
		{
			name: "with one bit of the body flipped", delivery: genuine.Altered(),
			answers: []int{http.StatusUnauthorized}, outcomes: []string{"invalid_signature"},
		},
		{
			name: "genuine, but the laptop's app fails", delivery: genuine, fails: true,
			answers: []int{http.StatusInternalServerError}, seen: 1, outcomes: []string{"verified"}, told: told,
		},
		{
			name: "the retry", delivery: genuine,
			answers: []int{http.StatusAccepted}, seen: 1, outcomes: []string{"verified"}, told: told,
		},
		{
			name: "genuine, again", delivery: genuine,
			answers: []int{http.StatusOK}, outcomes: []string{"duplicate"},
		},
	}
}
