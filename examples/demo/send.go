package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/delivery"
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/sidecar"
)

const stepWithin = 30 * time.Second

// row is the result of one step.
type row struct {
	app, provider string
	step          step
	answers       []int
	outcomes      []string
	requests      []request // that reached the app
	problems      []string
}

// sendAll sends every step to every app, prints the table, and returns an error if a
// row failed.
func sendAll(ctx context.Context, out io.Writer, apps []*app, queue *queued, relay *app) error {
	var rows []row
	for _, a := range apps {
		keys := make(map[identity]string)
		for _, part := range []part{
			{"github", githubSteps(a.github)},
			{"stripe", stripeSteps(a.stripe, time.Now())},
		} {
			sent, err := part.send(ctx, a, keys)
			if err != nil {
				return err
			}
			rows = append(rows, sent...)
		}
	}
	queued, err := queue.run(ctx)
	if err != nil {
		return err
	}
	rows = append(rows, queued...)
	relayed, err := part{"github", relaySteps(relay.github)}.send(ctx, relay, make(map[identity]string))
	if err != nil {
		return err
	}
	rows = append(rows, relayed...)
	if failed := printTable(out, rows); failed > 0 {
		return errUnexpected
	}
	return nil
}

// part is the steps of one provider.
type part struct {
	provider string
	steps    []step
}

// send sends every step to an app, in order.
func (p part) send(ctx context.Context, a *app, keys map[identity]string) (rows []row, err error) {
	for i, s := range p.steps {
		r := row{app: a.name, provider: p.provider, step: s}
		if err := r.send(ctx, a, fmt.Sprintf("%s-%s-%d", a.name, p.provider, i)); err != nil {
			return nil, fmt.Errorf("%s, %s, %s: %w", a.name, p.provider, s.name, err)
		}
		r.judge(keys)
		rows = append(rows, r)
	}
	return rows, nil
}

// send sends the step's delivery and collects the response, the logged outcome and the
// requests that reached the app.
func (r *row) send(ctx context.Context, a *app, mark string) error {
	ctx, cancel := context.WithTimeout(ctx, stepWithin)
	defer cancel()
	if r.step.fails {
		if err := a.failNext(); err != nil {
			return err
		}
	}
	copies := max(1, r.step.copies)
	if copies > 1 {
		if err := a.hold(); err != nil {
			return err
		}
	}

	d := r.step.delivery.With(sidecar.Mark, mark)
	answers, err := sendCopies(ctx, d, a.site, copies, a.release)
	if err != nil {
		return err
	}
	r.answers = answers

	accesses, err := a.caddy.Accesses(ctx, mark, copies)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, a.caddy.Log())
	}
	for _, access := range accesses {
		r.outcomes = append(r.outcomes, access.Outcome)
	}
	seen, err := a.seen()
	if err != nil {
		return err
	}
	r.requests = seen[mark]
	return nil
}

// sendCopies sends n copies of a delivery concurrently. It calls allSent when all of
// them are written.
func sendCopies(ctx context.Context, d delivery.Delivery, site string, n int, allSent func() error) ([]int, error) {
	client := &http.Client{Transport: &http.Transport{ExpectContinueTimeout: stepWithin}}
	defer client.CloseIdleConnections()

	var written atomic.Int32
	sent := make(chan struct{})
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteRequest: func(httptrace.WroteRequestInfo) {
			if int(written.Add(1)) == n {
				close(sent)
			}
		},
	})
	var copies sync.WaitGroup
	answers := make([]int, n)
	for i := range n {
		copies.Go(func() {
			answer, err := d.Send(traced, client, site)
			if err != nil {
				fail(err) // cancels the other copies; the first error is returned
			}
			answers[i] = answer.Status
		})
	}
	select {
	case <-sent:
	case <-ctx.Done(): // a copy failed, or the time is over
	}
	err := allSent()
	copies.Wait()
	return answers, errors.Join(err, context.Cause(ctx))
}

// judge compares the results of the step with the expected ones. keys are the
// Webhook-Verified-Key values that the app received so far.
func (r *row) judge(keys map[identity]string) {
	for _, answer := range r.answers {
		if !slices.Contains(r.step.answers, answer) {
			r.problem("the provider got %d; want one of %v", answer, r.step.answers)
		}
	}
	verified := 0
	for _, outcome := range r.outcomes {
		if !slices.Contains(r.step.outcomes, outcome) {
			r.problem("the outcome is %q; want one of %q", outcome, r.step.outcomes)
		}
		if outcome == "verified" {
			verified++
		}
	}
	if verified != r.step.seen {
		r.problem("%d outcomes are verified; want %d", verified, r.step.seen)
	}
	if len(r.requests) != r.step.seen {
		r.problem("the app got it %d times; want %d", len(r.requests), r.step.seen)
	}
	for _, request := range r.requests {
		r.judgeRequest(request)
		r.judgeKey(request, keys)
	}
}

// judgeRequest checks that the app got the sent bytes, and the identity that the module
// sets, not the one that the sender forged.
func (r *row) judgeRequest(got request) {
	if !bytes.Equal(got.Body, r.step.delivery.Body) {
		r.problem("the app got a different body: %q", got.Body)
	}
	for name, want := range map[string]string{
		"Webhook-Verified-Provider": r.step.told.provider,
		"Webhook-Verified-Id":       r.step.told.id,
		"Webhook-Verified-Event":    r.step.told.event,
	} {
		if values := got.header(name); len(values) != 1 || values[0] != want {
			r.problem("the app got %s: %q; want %q", name, values, want)
		}
	}
	for _, header := range got.Headers {
		if strings.Contains(header[1], "forged") {
			r.problem("the app got a forged header: %q", header)
		}
	}
}

// judgeKey checks that a delivery has one key, which is the same on every retry.
func (r *row) judgeKey(got request, keys map[identity]string) {
	key := got.header("Webhook-Verified-Key")
	if len(key) != 1 || key[0] == "" {
		r.problem("the app got Webhook-Verified-Key: %q; want one key", key)
		return
	}
	if before, retried := keys[r.step.told]; retried && before != key[0] {
		r.problem("the app got Webhook-Verified-Key: %q, but %q before", key[0], before)
	}
	keys[r.step.told] = key[0]
}

// problem adds a problem unless another copy had the same one.
func (r *row) problem(format string, args ...any) {
	if p := fmt.Sprintf(format, args...); !slices.Contains(r.problems, p) {
		r.problems = append(r.problems, p)
	}
}
