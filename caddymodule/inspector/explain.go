package inspector

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule"
	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/command/capture"
	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/command/diagnose"
	"github.com/verify-webhook/caddy-verify-webhook/internal/signing"
	"github.com/verify-webhook/caddy-verify-webhook/provider"
)

// explainable reports whether a delivery with this outcome was refused because of
// its content or the config, so that the cause can be found.
func explainable(o caddymodule.Outcome) bool {
	switch o {
	case caddymodule.MissingSignature, caddymodule.InvalidSignature, caddymodule.Stale, caddymodule.Malformed:
		return true
	}
	return false
}

// Override replaces parts of the running config.
type Override struct {
	Options   json.RawMessage `json:"options,omitempty"`
	Secrets   []string        `json:"secrets,omitempty"`
	Labels    []string        `json:"labels,omitempty"`
	Others    []string        `json:"others,omitempty"`
	PublicURL string          `json:"public_url,omitempty"`
}

// Explanation is why a delivery was refused and what to change.
type Explanation struct {
	Number   uint64 `json:"number"`
	Provider string `json:"provider"`
	Endpoint string `json:"endpoint"`
	// Answer is the summary in one line.
	Answer string `json:"answer"`
	// Accepted: the current config would accept the delivery.
	Accepted bool `json:"accepted"`
	*diagnose.Report
}

// Limits of one explanation. One runs at a time; others wait.
const (
	explainBytes   = 256 << 20
	explainTries   = 20_000
	explainTime    = 15 * time.Second
	explainWaiting = 20 * time.Second
)

var explaining = make(chan struct{}, 1)

// serveExplain explains a delivery, for the page and for the admin API. Only the
// admin API may override the config.
func serveExplain(r *http.Request) (any, error) {
	q, one, err := readQuestion(r)
	if err != nil {
		return nil, err
	}
	if q.Override != nil {
		return nil, errorf(http.StatusBadRequest, "the page can only use the config of the endpoint")
	}
	return explain(r.Context(), one, nil)
}

func explain(ctx context.Context, one *record, o *Override) (*Explanation, error) {
	// The context of a request can end while its body is read, which must not
	// end the search. The search has its own limits.
	ctx = context.WithoutCancel(ctx)
	wait, cancel := context.WithTimeout(ctx, explainWaiting)
	defer cancel()
	select {
	case explaining <- struct{}{}:
		defer func() { <-explaining }()
	case <-wait.Done():
		return nil, errorf(http.StatusServiceUnavailable, "another delivery is being explained: retry")
	}
	ctx, cancel = context.WithTimeout(ctx, explainTime)
	defer cancel()
	x := &Explanation{Number: one.number, Provider: one.o.Provider, Endpoint: one.o.Endpoint}
	var err error
	if x.Report, err = report(ctx, one, o); err != nil {
		return nil, errorf(http.StatusUnprocessableEntity, "%w", err)
	}
	x.Answer, x.Accepted = x.Report.Answer(), x.Report.Accepted()
	if one.withheld != "" {
		x.Notes = append(slices.Clone(x.Notes), one.withheld)
	}
	return x, nil
}

// report explains why a delivery was refused.
func report(ctx context.Context, one *record, o *Override) (*diagnose.Report, error) {
	if !explainable(one.o.Outcome) {
		return &diagnose.Report{Outcome: one.o.Outcome, Reason: cmp.Or(one.o.Reason, "its signature is valid")}, nil
	}
	c, err := caseOf(one, o)
	if err != nil {
		return nil, err
	}
	if found := notCaptured(one, c); found != nil {
		return &diagnose.Report{Outcome: one.o.Outcome, Reason: one.o.Reason, Findings: []diagnose.Finding{*found}}, nil
	}
	return diagnose.Explain(ctx, *c)
}

// caseOf returns the delivery to explain, with the options and secrets of the
// endpoint in the running config, unless they are overridden.
func caseOf(one *record, o *Override) (*diagnose.Case, error) {
	c := &diagnose.Case{
		Provider: one.o.Provider, Received: one.o.Received, Now: time.Now(),
		Limits: diagnose.Limits{Bytes: explainBytes, Tries: explainTries},
		Request: &capture.Request{
			Method: one.o.Method, Scheme: one.o.Scheme, Host: one.o.SignedHost, RequestURI: one.o.URI,
			Header: one.o.Header, Body: one.o.Body, Received: one.o.Received,
		},
	}
	if o == nil {
		o = new(Override)
	}
	c.Options, c.Secrets, c.Labels, c.Others, c.PublicURL = o.Options, o.Secrets, o.Labels, o.Others, o.PublicURL
	if c.Options != nil && c.Secrets != nil {
		return c, nil
	}
	endpoint, ok := caddymodule.FindEndpoint(one.o.Endpoint, one.o.Provider)
	if !ok {
		return nil, fmt.Errorf("the running config no longer has the endpoint %s of %s", one.o.Endpoint, one.o.Provider)
	}
	if c.Options == nil {
		c.Options = endpoint.ProviderJSON()
	}
	if c.Secrets != nil {
		return c, nil
	}
	var err error
	c.Secrets, c.Labels, err = configuredSecrets(endpoint.ProviderJSON())
	return c, err
}

// configuredSecrets returns the secrets in a provider's JSON, and their labels.
func configuredSecrets(raw json.RawMessage) (secrets, labels []string, err error) {
	var p struct {
		Secrets []provider.Secret `json:"secrets"`
	}
	if err := json.Unmarshal(raw, &p); err != nil {
		return nil, nil, fmt.Errorf("reading the provider's config: %w", err)
	}
	for i, s := range p.Secrets {
		text, err := provider.Resolve(s.Secret)
		if err != nil {
			return nil, nil, fmt.Errorf("secret %d: %w", i+1, err)
		}
		secrets, labels = append(secrets, text), append(labels, s.Label)
	}
	return secrets, labels, nil
}

// notCaptured explains a delivery that was captured incompletely and cannot be
// verified again. It returns nil if nothing relevant is missing.
func notCaptured(one *record, c *diagnose.Case) *diagnose.Finding {
	if found := removedToken(one); found != nil {
		return found
	}
	if one.o.Outcome == caddymodule.MissingSignature {
		return nil // a missing signature needs no body
	}
	tooling, err := signing.Inspect(c.Provider, c.Options)
	if err == nil && len(tooling.Schemes) == 0 && len(one.o.Header.Values("Authorization")) > 0 {
		return &diagnose.Finding{
			Kind: "not_captured", Guess: true,
			Cause:  one.o.Reason + ". The Authorization header, which may contain the signature, is not captured, so the delivery cannot be verified again",
			Change: "record the request in front of Caddy, and explain it with `caddy verify-webhook explain " + c.Provider + " <file>`",
		}
	}
	if one.o.Size == 0 || one.o.Body != nil && !one.o.BodyCut {
		return nil
	}
	return &diagnose.Finding{
		Kind: "not_captured", Guess: true,
		Cause:  one.o.Reason + ". The body was not captured completely, so the signature cannot be verified again",
		Change: "make the provider resend it: bodies of up to 64 KiB are kept for the last 20 refused requests. For longer bodies write `capture { bodies 1MiB }`, with the option on its own line",
	}
}

// removedToken explains a request whose secret was removed when it was captured,
// with the result of its comparison.
func removedToken(one *record) *diagnose.Finding {
	for _, name := range slices.Sorted(headerNames(one.o.Header)) {
		for _, value := range one.o.Header[name] {
			result, found := strings.CutPrefix(value, caddymodule.RemovedValue+": ")
			if !found {
				continue
			}
			result = strings.TrimSuffix(result, ")")
			f := &diagnose.Finding{Kind: "token", Cause: "the secret in " + name + " was compared when the request arrived: " + result}
			switch {
			case strings.Contains(result, "none of"):
				f.Change = "copy the secret from the provider's settings of this webhook into Caddy's config, or set the configured one there"
			case strings.Contains(result, ", "), strings.Contains(result, "behind"):
				f.Change = "enter the secret at the provider exactly as it is configured here, without extra characters"
			case strings.Contains(result, "blank"):
				f.Change = "enter the secret in the provider's settings of this webhook"
			default:
				continue // it matches: the cause is another one
			}
			return f
		}
	}
	return nil
}
