package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/delivery"
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/process"
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/sidecar"
)

// queued is a Flask app that works in the request, behind Caddy with a queue.
type queued struct {
	app
	examples, python string
	address          string // of the app, as in the Caddyfile
}

// startQueued starts Caddy, but not the app. The caller must stop the result, even
// if there is an error.
func startQueued(ctx context.Context, examples, work, python, caddy string) (*queued, error) {
	q := &queued{examples: examples, python: python, app: app{name: "flask/queued", folder: filepath.Join(work, "queued"), github: "queued-github-secret"}}
	if err := os.MkdirAll(q.folder, 0o700); err != nil {
		return q, err
	}
	var err error
	if q.address, err = process.FreeAddress(); err != nil {
		return q, err
	}
	site, err := process.FreeAddress()
	if err != nil {
		return q, err
	}
	q.site = "http://" + site
	caddyfile, err := withShortRetry(filepath.Join(examples, q.name, "Caddyfile"), q.folder)
	if err != nil {
		return q, err
	}
	q.caddy, err = sidecar.Start(ctx, sidecar.Config{
		Binary: caddy, Caddyfile: caddyfile, State: filepath.Join(q.folder, "caddy"),
		Env: []string{"SITE=" + q.site, "APP=" + q.address, "GITHUB_WEBHOOK_SECRET=" + q.github, "STRIPE_WEBHOOK_SECRET=whsec_queued-stripe-secret"},
	})
	return q, err
}

// withShortRetry writes a copy of a Caddyfile whose queues retry after 200 ms, so that
// the demo does not take minutes.
func withShortRetry(caddyfile, folder string) (string, error) {
	text, err := os.ReadFile(caddyfile)
	if err != nil {
		return "", err
	}
	changed := strings.ReplaceAll(string(text), "deliver {", "retry 200ms\n\t\t\tdeliver {")
	path := filepath.Join(folder, "Caddyfile")
	return path, os.WriteFile(path, []byte(changed), 0o600)
}

// startApp starts the app and waits until it accepts connections.
func (q *queued) startApp(ctx context.Context) error {
	server, err := process.Start(process.Command{
		Path: q.python, Args: serverArgs(q.name, q.address), Env: pythonEnv(q.examples, q.name, q.folder),
	})
	if err != nil {
		return err
	}
	q.server = server
	ready, cancel := context.WithTimeout(ctx, appReadyWithin)
	defer cancel()
	return server.WaitReady(ready, process.Accepts(q.address))
}

// failTimes makes the app respond to n requests with a status.
func (q *queued) failTimes(n, status int) error {
	var errs []error
	for i := range n {
		errs = append(errs, os.WriteFile(filepath.Join(q.folder, "fail-"+strconv.Itoa(i)), []byte(strconv.Itoa(status)), 0o600))
	}
	return errors.Join(errs...)
}

// run sends the deliveries of the queue's part of the demo, and returns their rows.
func (q *queued) run(ctx context.Context) (rows []row, err error) {
	for _, part := range []func(context.Context) (row, error){q.whileTheAppIsDown, q.whileTheAppFails, q.deadAndRetried} {
		r, err := part(ctx)
		if err != nil {
			return nil, fmt.Errorf("%s, %s: %w", q.name, r.step.name, err)
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// accept sends a delivery that the queue must accept, and returns the response time.
func (q *queued) accept(ctx context.Context, r *row, n int) (mark string, took time.Duration, err error) {
	mark = fmt.Sprintf("queued-%d", n)
	d := delivery.GitHub(q.github, fmt.Sprintf("9b2f7c1e-0000-4000-8000-%012d", n), "issues", githubBody(n)).With(sidecar.Mark, mark)
	start := time.Now()
	answer, err := d.Send(ctx, http.DefaultClient, q.site)
	took = time.Since(start)
	if err != nil {
		return mark, took, err
	}
	r.answers = append(r.answers, answer.Status)
	if answer.Status != http.StatusAccepted {
		r.problem("the provider got %d; want 202", answer.Status)
	}
	accesses, err := q.caddy.Accesses(ctx, mark, 1)
	for _, access := range accesses {
		r.outcomes = append(r.outcomes, access.Outcome)
	}
	return mark, took, err
}

// await waits until the app has received a delivery this many times.
func (q *queued) await(ctx context.Context, r *row, mark string, times int) error {
	ctx, cancel := context.WithTimeout(ctx, stepWithin)
	defer cancel()
	for {
		seen, err := q.seen()
		if err != nil {
			return err
		}
		if len(seen[mark]) >= times {
			r.requests = append(r.requests, seen[mark]...)
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the app got it %d times; want %d\n%s", len(seen[mark]), times, q.caddy.Log())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// whileTheAppIsDown checks that the provider gets a response immediately, and that the
// app gets each delivery once after it starts.
func (q *queued) whileTheAppIsDown(ctx context.Context) (row, error) {
	r := row{app: "queued", provider: "github"}
	var longest time.Duration
	var marks []string
	for n := range 3 {
		mark, took, err := q.accept(ctx, &r, 9100+n)
		if err != nil {
			return r, err
		}
		marks, longest = append(marks, mark), max(longest, took)
	}
	r.step.name = fmt.Sprintf("three while the app is down (%d ms)", longest.Milliseconds())
	if err := q.startApp(ctx); err != nil {
		return r, err
	}
	for _, mark := range marks {
		if err := q.await(ctx, &r, mark, 1); err != nil {
			return r, err
		}
	}
	return r, nil
}

// whileTheAppFails checks that an app that fails three times gets the delivery a fourth
// time, with the same key.
func (q *queued) whileTheAppFails(ctx context.Context) (row, error) {
	r := row{app: "queued", provider: "github", step: step{name: "the app fails three times"}}
	if err := q.failTimes(3, http.StatusInternalServerError); err != nil {
		return r, err
	}
	mark, _, err := q.accept(ctx, &r, 9200)
	if err != nil {
		return r, err
	}
	if err := q.await(ctx, &r, mark, 4); err != nil {
		return r, err
	}
	for i, request := range r.requests {
		if got := request.header("Webhook-Verified-Attempt"); !slices.Equal(got, []string{strconv.Itoa(i + 1)}) {
			r.problem("attempt %d has the number %q", i+1, got)
		}
		if got := request.header("Webhook-Verified-Key"); !slices.Equal(got, r.requests[0].header("Webhook-Verified-Key")) {
			r.problem("attempt %d has a different key", i+1)
		}
	}
	return r, nil
}

// deadAndRetried checks that an operator can retry a delivery that the app rejected
// with 410.
func (q *queued) deadAndRetried(ctx context.Context) (row, error) {
	r := row{app: "queued", provider: "github", step: step{name: "the app responds 410; retried by hand"}}
	if err := q.failTimes(1, http.StatusGone); err != nil {
		return r, err
	}
	mark, _, err := q.accept(ctx, &r, 9300)
	if err != nil {
		return r, err
	}
	if err := q.await(ctx, &r, mark, 1); err != nil {
		return r, err
	}
	r.requests = nil
	if err := q.retryDead(ctx); err != nil {
		return r, err
	}
	return r, q.await(ctx, &r, mark, 2)
}

// retryDead waits until the delivery is dead, and retries it as an operator does.
func (q *queued) retryDead(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stepWithin)
	defer cancel()
	for {
		out, err := q.caddy.Command(ctx, "verify-webhook", "queue", "list", "github", "--state", "dead", "--json").CombinedOutput()
		if err != nil {
			return fmt.Errorf("listing dead deliveries: %w\n%s", err, out)
		}
		if strings.Contains(string(out), `"dead"`) {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if out, err := q.caddy.Command(ctx, "verify-webhook", "queue", "retry", "github", "--state", "dead").CombinedOutput(); err != nil {
		return fmt.Errorf("retrying dead deliveries: %w\n%s", err, out)
	}
	return nil
}
