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

// row is what came of one step.
type row struct {
	app, provider string
	step          step
	answers       []int
	outcomes      []string
	requests      []request // those that the app saw
	problems      []string
}

// sendAll sends every step to every app, prints the table, and returns an error
// if any row is not as it should be.
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
		return errNotAsItShouldBe
	}
	return nil
}

// part is what one provider sends.
type part struct {
	provider string
	steps    []step
}

// send sends every step to an app, one after the other.
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

// send sends the step's delivery and collects what the three parties say of it.
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

// sendCopies sends n copies of a delivery at the same time. As soon as all of
// them are written, but not before, it calls allSent.
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
				fail(err) // the first error ends the other copies, and is returned
			}
			answers[i] = answer.Status
		})
	}
	select {
	case <-sent:
	case <-ctx.Done(): // one failed, or time is up: nothing to wait for
	}
	err := allSent()
	copies.Wait()
	return answers, errors.Join(err, context.Cause(ctx))
}

// judge compares what came of the step with what should have. keys are the
// Webhook-Verified-Key values that the app was told so far.
func (r *row) judge(keys map[identity]string) {
	for _, answer := range r.answers {
		if !slices.Contains(r.step.answers, answer) {
			r.problem("the provider got %d, not one of %v", answer, r.step.answers)
		}
	}
	verified := 0
	for _, outcome := range r.outcomes {
		if !slices.Contains(r.step.outcomes, outcome) {
			r.problem("the outcome was %q, not one of %q", outcome, r.step.outcomes)
		}
		if outcome == "verified" {
			verified++
		}
	}
	if verified != r.step.seen {
		r.problem("%d outcomes were verified, not %d", verified, r.step.seen)
	}
	if len(r.requests) != r.step.seen {
		r.problem("the app saw it %d times, not %d", len(r.requests), r.step.seen)
	}
	for _, request := range r.requests {
		r.judgeRequest(request)
		r.judgeKey(request, keys)
	}
}

// judgeRequest checks what the app was given: the very bytes, and an identity
// that is the module's own and not the sender's.
func (r *row) judgeRequest(got request) {
	if !bytes.Equal(got.Body, r.step.delivery.Body) {
		r.problem("the app got other bytes: %q", got.Body)
	}
	for name, want := range map[string]string{
		"Webhook-Verified-Provider": r.step.told.provider,
		"Webhook-Verified-Id":       r.step.told.id,
		"Webhook-Verified-Event":    r.step.told.event,
	} {
		if values := got.header(name); len(values) != 1 || values[0] != want {
			r.problem("the app was told %s: %q, not %q", name, values, want)
		}
	}
	for _, header := range got.Headers {
		if strings.Contains(header[1], "forged") {
			r.problem("the app got a forged header: %q", header)
		}
	}
}

// judgeKey checks that a delivery has one key, the same on every retry.
func (r *row) judgeKey(got request, keys map[identity]string) {
	key := got.header("Webhook-Verified-Key")
	if len(key) != 1 || key[0] == "" {
		r.problem("the app was told Webhook-Verified-Key: %q, not one key", key)
		return
	}
	if before, retried := keys[r.step.told]; retried && before != key[0] {
		r.problem("the app was told Webhook-Verified-Key: %q, but %q before", key[0], before)
	}
	keys[r.step.told] = key[0]
}

// problem notes each problem once, however many copies have it.
func (r *row) problem(format string, args ...any) {
	if p := fmt.Sprintf(format, args...); !slices.Contains(r.problems, p) {
		r.problems = append(r.problems, p)
	}
}
