package main

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/delivery"
)

// copiesAtOnce is the number of copies of one delivery that are sent concurrently.
const copiesAtOnce = 50

// overGitHubsLimit is more than GitHub's maximum of 25 MiB.
const overGitHubsLimit = 26 << 20

// overOurLimit is more than the max_body that the example Caddyfiles set for Stripe.
const overOurLimit = 1<<20 + 1

// step is one row of the table: a delivery and its expected result.
type step struct {
	name     string
	delivery delivery.Delivery
	copies   int  // sent concurrently; 0 means 1
	fails    bool // the app responds with 500

	answers  []int    // allowed responses to the provider
	seen     int      // how often the app receives it
	outcomes []string // allowed outcomes; exactly seen of them are "verified"
	told     identity // the identity that the app receives
}

// identity is the expected content of the Webhook-Verified-* headers.
type identity struct{ provider, id, event string }

func githubSteps(secret string) []step {
	const event = "issues"
	send := func(n int) (delivery.Delivery, identity) {
		id := fmt.Sprintf("9b2f7c1e-0000-4000-8000-%012d", n)
		return delivery.GitHub(secret, id, event, githubBody(n)), identity{"github", id, event}
	}
	genuine, told := send(1)
	steps := commonSteps(genuine, told, http.StatusAccepted)
	steps = append(steps,
		step{
			name:     "signed with a wrong secret",
			delivery: delivery.GitHub("guessed", told.id, event, genuine.Body),
			answers:  []int{http.StatusUnauthorized}, outcomes: []string{"invalid_signature"},
		},
		step{
			name:     "without signature",
			delivery: genuine.Without("X-Hub-Signature-256"),
			answers:  []int{http.StatusUnauthorized}, outcomes: []string{"missing_signature"},
		},
		step{
			name:     "genuine, with a new X-GitHub-Delivery",
			delivery: genuine.With("X-Github-Delivery", "11111111-2222-4333-8444-555555555555"),
			answers:  []int{http.StatusOK}, outcomes: []string{"replayed"},
		},
		step{
			name:     "over max_body",
			delivery: delivery.GitHub(secret, "too-large", event, jsonOfSize(overGitHubsLimit)).With("Expect", "100-continue"),
			answers:  []int{http.StatusRequestEntityTooLarge}, outcomes: []string{"too_large"},
		},
	)
	return append(steps, statefulSteps(send, http.StatusAccepted)...)
}

func stripeSteps(secret string, now time.Time) []step {
	const event = "invoice.paid"
	send := func(n int) (delivery.Delivery, identity) {
		id := "evt_" + strconv.Itoa(n)
		return delivery.Stripe(secret, now, stripeBody(id, event)), identity{"stripe", id, event}
	}
	genuine, told := send(1)
	steps := commonSteps(genuine, told, http.StatusOK)
	steps = append(steps,
		step{
			name:     "signed with a wrong secret",
			delivery: delivery.Stripe("whsec_guessed", now, genuine.Body),
			answers:  []int{http.StatusUnauthorized}, outcomes: []string{"invalid_signature"},
		},
		step{
			name:     "without signature",
			delivery: genuine.Without("Stripe-Signature"),
			answers:  []int{http.StatusUnauthorized}, outcomes: []string{"missing_signature"},
		},
		step{
			name:     "stale: signed an hour ago",
			delivery: delivery.Stripe(secret, now.Add(-time.Hour), stripeBody("evt_stale", event)),
			answers:  []int{http.StatusUnauthorized}, outcomes: []string{"stale"},
		},
		step{
			name:     "genuine, signed again a second later",
			delivery: delivery.Stripe(secret, now.Add(time.Second), genuine.Body),
			answers:  []int{http.StatusOK}, outcomes: []string{"duplicate"},
		},
		step{
			name:     "over max_body",
			delivery: delivery.Stripe(secret, now, jsonOfSize(overOurLimit)).With("Expect", "100-continue"),
			answers:  []int{http.StatusRequestEntityTooLarge}, outcomes: []string{"too_large"},
		},
	)
	return append(steps, statefulSteps(send, http.StatusOK)...)
}

// commonSteps returns steps with one genuine delivery and its copies. accepted is the
// app's status.
func commonSteps(genuine delivery.Delivery, told identity, accepted int) []step {
	return []step{
		{
			name: "genuine", delivery: genuine,
			answers: []int{accepted}, seen: 1, outcomes: []string{"verified"}, told: told,
		},
		{
			name: "genuine, again", delivery: genuine,
			answers: []int{http.StatusOK}, outcomes: []string{"duplicate"},
		},
		{
			name: "one bit changed", delivery: genuine.Altered(),
			answers: []int{http.StatusUnauthorized}, outcomes: []string{"invalid_signature"},
		},
	}
}

// statefulSteps returns steps with concurrent copies, failures and forged headers.
func statefulSteps(send func(int) (delivery.Delivery, identity), accepted int) []step {
	crowd, crowdTold := send(2)
	failing, failingTold := send(3)
	forged, forgedTold := send(4)
	folded, foldedTold := send(5)
	return []step{
		{
			name:     fmt.Sprintf("%d copies at once", copiesAtOnce),
			delivery: crowd, copies: copiesAtOnce,
			answers: []int{accepted, http.StatusOK}, seen: 1,
			outcomes: []string{"verified", "in_progress", "duplicate"}, told: crowdTold,
		},
		{
			name: "genuine, the app fails", delivery: failing, fails: true,
			answers: []int{http.StatusInternalServerError}, seen: 1, outcomes: []string{"verified"}, told: failingTold,
		},
		{
			name: "the provider's retry of it", delivery: failing,
			answers: []int{accepted}, seen: 1, outcomes: []string{"verified"}, told: failingTold,
		},
		{
			name: "genuine, with forged Webhook-Verified-*",
			delivery: forged.
				With("Webhook-Verified-Id", "forged").
				With("Webhook-Verified-Event", "forged").
				With("Webhook-Verified-Key", "forged"),
			answers: []int{accepted}, seen: 1, outcomes: []string{"verified"}, told: forgedTold,
		},
		{
			name:     "genuine, with Webhook_Verified_Id",
			delivery: folded.With("Webhook_Verified_Id", "forged"),
			answers:  []int{accepted}, seen: 1, outcomes: []string{"verified"}, told: foldedTold,
		},
	}
}

// githubBody returns JSON whose spacing, escapes and number change if it is decoded
// and encoded again.
func githubBody(n int) []byte {
	return fmt.Appendf(nil, "{\"action\":\"opened\",\n  \"issue\" : {\"number\":%d, \"title\":\"Gr\u00fc\u00dfe \U0001f44b \\u00e9\\/\", \"weight\":1.0}}\n", n)
}

func stripeBody(id, event string) []byte {
	return fmt.Appendf(nil, "{\n  \"id\": %q,\n  \"object\": \"event\",\n  \"type\": %q,\n  \"data\": {\"object\": {\"amount\": 1e2, \"note\": \"\\u20ac caf\u00e9\"}}\n}", id, event)
}

func jsonOfSize(n int) []byte {
	return append(append([]byte(`{"id":"`), bytes.Repeat([]byte("a"), n-9)...), `"}`...)
}
