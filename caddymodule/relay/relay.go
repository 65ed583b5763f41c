package relay

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule"
	"github.com/verify-webhook/caddy-verify-webhook/internal/option"
)

func init() { caddy.RegisterModule(new(Relay)) }

// Defaults of a relay.
const (
	defaultTimeout     = 5 * time.Minute
	defaultMaxInFlight = 64
	// retryAfter is the Retry-After for the provider while no machine is listening.
	retryAfter = "30"
)

// Relay forwards deliveries to a developer's machine that runs
// `caddy verify-webhook listen`, and returns the response of the app there.
//
// That response decides whether the delivery counts as handled. If no machine
// listens, deliveries go to the next handler; without one they get 503 with
// Retry-After, so that the provider retries. Relay must be behind
// `verify_webhook`, and relays only what it has verified. Machines connect to
// `webhook_listeners` on another route. A machine is known only to the process
// that it is connected to.
//
// Syntax:
//
//	webhook_relay [<matcher>] <name> {
//		timeout       <duration>
//		max_in_flight <number>
//	}
//
// Example:
//
//	hooks.example.com {
//		handle /dev/github {
//			verify_webhook github {env.GITHUB_DEV_WEBHOOK_SECRET}
//			webhook_relay dev
//		}
//		handle /relay* {
//			webhook_listeners dev {env.RELAY_TOKEN}
//		}
//		handle {
//			respond 404
//		}
//	}
type Relay struct {
	// The name of the relay, the same as in `webhook_listeners`. Required.
	Relay string `json:"relay,omitempty"`
	// How long the listening machine can take to respond. Default: 5m.
	Timeout caddy.Duration `json:"timeout,omitempty"`
	// How many deliveries can wait for a response at once. Further ones get
	// 503. Default: 64.
	MaxInFlight int64 `json:"max_in_flight,omitempty"`

	relay  *relay
	logger *zap.Logger
}

// CaddyModule returns the Caddy module information.
func (*Relay) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.webhook_relay", New: func() caddy.Module { return new(Relay) }}
}

// Provision implements caddy.Provisioner.
func (h *Relay) Provision(ctx caddy.Context) error {
	h.logger = ctx.Logger()
	h.Timeout = cmp.Or(h.Timeout, caddy.Duration(defaultTimeout))
	h.MaxInFlight = cmp.Or(h.MaxInFlight, defaultMaxInFlight)
	if err := checkName("webhook_relay", h.Relay); err != nil {
		return err
	}
	if err := registerMetrics(ctx); err != nil {
		return err
	}
	app, err := ctx.App("verify_webhook")
	if err != nil {
		return fmt.Errorf("loading the verify_webhook app: %w", err)
	}
	// Handlers that are provisioned later can accept connections.
	app.(*caddymodule.App).OnStart(func() error {
		if _, found := names.Load(nameInConfig{app, h.Relay}); !found {
			h.logger.Warn("no machine can listen to a relay: write webhook_listeners with its name and a token in another handle", zap.String("relay", h.Relay))
		}
		return nil
	})
	h.relay = relays.take(h.Relay)
	return nil
}

// Cleanup implements caddy.CleanerUpper.
func (h *Relay) Cleanup() error {
	relays.giveBack(h.relay)
	return nil
}

// Validate implements caddy.Validator.
func (h *Relay) Validate() error {
	if time.Duration(h.Timeout) < time.Millisecond {
		return fmt.Errorf("timeout %s is too short: write, for example, timeout 5m", time.Duration(h.Timeout))
	}
	if h.MaxInFlight < 1 {
		return fmt.Errorf("max_in_flight %d is less than 1: write, for example, max_in_flight 64", h.MaxInFlight)
	}
	return nil
}

var usableName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// checkName refuses names that are invalid in a metric or on a command line.
func checkName(directive, name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%s has no name: write, for example, %[1]s dev", directive)
	case !usableName.MatchString(name):
		return fmt.Errorf("%s: the name %q is not 1 to 64 letters, digits, dots, dashes or underscores", directive, option.Shown(name))
	}
	return nil
}

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (h *Relay) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if caddymodule.FromContext(r.Context()) == nil {
		return caddyhttp.Error(http.StatusServiceUnavailable,
			errors.New("webhook_relay: the request was not verified and is not relayed: write verify_webhook before webhook_relay, not in mode monitor"))
	}
	if r.GetBody == nil || r.ContentLength < 0 {
		return h.fail(w, fmt.Errorf("%w: a handler between verify_webhook and webhook_relay has replaced it: write webhook_relay before that handler", errBody))
	}
	d, err := h.relay.enter(newMessage(r), h.MaxInFlight, r.Context().Done())
	if errors.Is(err, errNobody) {
		return h.passOn(w, r, next)
	}
	if err != nil {
		return h.fail(w, err)
	}
	result := h.await(r, d)
	if result.err != nil {
		return h.fail(w, result.err)
	}
	count(h.relay.name, "answered")
	return result.answer.write(w)
}

// await waits for the response.
func (h *Relay) await(r *http.Request, d *delivery) outcome {
	timeout := time.NewTimer(time.Duration(h.Timeout))
	defer timeout.Stop()
	select {
	case result := <-d.answered:
		return result
	case <-timeout.C:
	case <-r.Context().Done():
	}
	return h.relay.leave(d, errTimeout)
}

// unhandledVar is Caddy's name for a request that no handler responded to.
const unhandledVar = "unhandled"

// passOn passes a delivery to the next handler while no machine is listening.
func (h *Relay) passOn(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	caddyhttp.SetVar(r.Context(), unhandledVar, nil)
	if err := next.ServeHTTP(w, r); err != nil {
		return err
	}
	if caddyhttp.GetVar(r.Context(), unhandledVar) == true {
		h.relay.noteMissed()
		return h.fail(w, errNobody)
	}
	count(h.relay.name, "passed_on")
	return nil
}

// fail responds with 503: the provider's retry may succeed.
func (h *Relay) fail(w http.ResponseWriter, reason error) error {
	count(h.relay.name, resultOf(reason))
	w.Header().Set("Retry-After", retryAfter)
	return caddyhttp.Error(http.StatusServiceUnavailable, fmt.Errorf("webhook_relay %s: %w", h.relay.name, reason))
}

// Interface guards.
var (
	_ caddy.Provisioner           = (*Relay)(nil)
	_ caddy.Validator             = (*Relay)(nil)
	_ caddy.CleanerUpper          = (*Relay)(nil)
	_ caddyhttp.MiddlewareHandler = (*Relay)(nil)
)
