// Package queue provides the `webhook_queue` handler, which stores a verified
// delivery durably, responds to the provider at once, and delivers it to the app in
// the background until the app has handled it.
package queue

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule"
	"github.com/verify-webhook/caddy-verify-webhook/internal/option"
	durable "github.com/verify-webhook/caddy-verify-webhook/queue"
)

func init() { caddy.RegisterModule(new(Handler)) }

// Handler stores verified deliveries durably, acknowledges them at once, and
// delivers them to the app in the background, with retries. It must be behind
// `verify_webhook`.
//
// A delivery is stored before it is acknowledged, and is delivered at least once:
// if Caddy dies after the app has handled a delivery and before that is recorded,
// the app gets it again, with the same `Webhook-Verified-Key`. Deliveries are not
// ordered.
//
// The app gets the request that the provider sent, and two more headers:
// `Webhook-Verified-Attempt`, the number of the attempt, from 1, and
// `Webhook-Verified-Received`, the time at which the delivery was accepted, in
// Unix seconds.
//
// Syntax:
//
//	webhook_queue [<matcher>] <name> {
//		deliver {
//			<directives...>
//		}
//		answer      <status>
//		mode        always|when_down
//		retry       <delays...>
//		give_up     <duration>
//		handled     <statuses...>
//		stop_on     <statuses...>
//		concurrency <number>
//		timeout     <duration>
//		keep        <duration>
//		max_entries <number>
//		max_bytes   <size>
//	}
//
// Example:
//
//	verify_webhook shopify {env.SHOPIFY_SECRET}
//	webhook_queue orders {
//		deliver {
//			reverse_proxy localhost:5000
//		}
//	}
//
// Placeholders in the `deliver` routes:
//
// Placeholder | Description
// ------------|------------
// `{http.webhook_queue.name}` | The name of the queue
// `{http.webhook_queue.attempt}` | The number of the attempt
// `{http.verify_webhook.provider}`, `…id`, `…event`, `…timestamp`, `…key` | As in the request that was accepted
type Handler struct {
	// The name of the queue, stored with each delivery: after a restart,
	// deliveries go to the handler with this name. It must be unique in a
	// config. At most 64 letters, digits, `-`, `_` and `.`. Required.
	Name string `json:"name,omitempty"`

	// The routes that deliver to the app, usually `reverse_proxy`. Their status
	// decides whether the delivery was handled. An error, an error route and
	// routes that do not respond count as failures. Required.
	Deliver caddyhttp.RouteList `json:"deliver,omitempty"`

	// When deliveries are stored: `always`, or `when_down`, which first tries
	// the app while the provider waits, and stores a delivery only if the app
	// cannot be reached, does not respond within `timeout`, or responds 5xx.
	// Default: `always`.
	Mode string `json:"mode,omitempty"`

	// The status that the provider gets for a delivery that is stored.
	// Default: 202.
	Answer int `json:"answer,omitempty"`

	// The delays before the second attempt, the third attempt and so on, each
	// varied by up to 20 %. The last one is repeated. Default: 5s 30s 2m 10m
	// 30m 1h 3h 6h 12h.
	Retry []caddy.Duration `json:"retry,omitempty"`

	// The age at which attempts end and the delivery is dead. Default: 3d.
	GiveUp caddy.Duration `json:"give_up,omitempty"`

	// Which statuses of the app count as handled: status codes, or 2 for 2xx.
	// Default: 2.
	Handled []int `json:"handled,omitempty"`

	// Which statuses of the app end the attempts immediately: status codes, or
	// 4 for 4xx. Default: 410.
	StopOn []int `json:"stop_on,omitempty"`

	// How many deliveries of the queue this Caddy instance sends to the app at
	// a time. Default: 8.
	Concurrency int `json:"concurrency,omitempty"`

	// How long an attempt can take. Default: 1m.
	Timeout caddy.Duration `json:"timeout,omitempty"`

	// How long dead deliveries are kept with their bodies. Default: 30d.
	Keep caddy.Duration `json:"keep,omitempty"`

	// How many deliveries the queue can hold, dead ones included. If it is
	// full, the provider gets 503 and nothing is stored. Default: 1000000.
	MaxEntries int64 `json:"max_entries,omitempty"`

	// How many bytes the queue can hold. Default: 10 GiB with `file`, 256 MiB
	// with `redis`.
	MaxBytes int64 `json:"max_bytes,omitempty"`

	group   *group // of the config
	server  *caddyhttp.Server
	route   caddyhttp.Handler
	policy  durable.Policy
	logger  *zap.Logger
	bounded *zap.Logger // for frequent lines
	tracer  atomic.Pointer[trace.Tracer]
	now     func() time.Time
	joined  bool // the handler must leave the group
}

// When deliveries are stored.
const (
	modeAlways   = "always"
	modeWhenDown = "when_down"
)

// Defaults.
const (
	defaultAnswer      = http.StatusAccepted
	defaultConcurrency = 8
	defaultTimeout     = time.Minute
	defaultKeep        = 30 * 24 * time.Hour
	defaultMaxEntries  = 1_000_000
	// retryAfterFull is the Retry-After while the queue cannot store a delivery,
	// in seconds.
	retryAfterFull = 30
)

// CaddyModule returns the Caddy module information.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.webhook_queue", New: func() caddy.Module { return new(Handler) }}
}

// Provision implements caddy.Provisioner.
func (h *Handler) Provision(ctx caddy.Context) error {
	h.logger = ctx.Logger()
	h.bounded = sampled(h.logger)
	h.now = time.Now
	h.setDefaults()
	if err := h.check(); err != nil {
		return err
	}
	// reverse_proxy and others need the server of a request. In the background
	// they use this one.
	if h.server, _ = ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server); h.server == nil {
		return fmt.Errorf("webhook_queue %s: it must be inside a site", h.Name)
	}
	if err := h.Deliver.Provision(ctx); err != nil {
		return fmt.Errorf("webhook_queue %s: deliver: %w", h.Name, err)
	}
	h.route = h.Deliver.Compile(unhandled)
	app, err := ctx.App(appID)
	if err != nil {
		return fmt.Errorf("loading the verify_webhook app: %w", err)
	}
	if h.group, err = joinGroup(ctx, app.(*caddymodule.App), h); err != nil {
		return err
	}
	h.joined = true
	initMetrics(h.Name)
	for _, text := range h.unlikely() {
		ctx.Logger().Warn(text)
	}
	if h.MaxBytes == 0 {
		h.MaxBytes = h.group.module.DefaultMaxBytes()
	}
	return nil
}

// shortGiveUp is shorter than a restart of an app can take.
const shortGiveUp = 10 * time.Minute

// unlikely returns warnings about options that lose deliveries and are rarely intended.
func (h *Handler) unlikely() (texts []string) {
	say := func(format string, args ...any) {
		texts = append(texts, fmt.Sprintf("webhook_queue %s: "+format, append([]any{h.Name}, args...)...))
	}
	failure := func(status int) bool { return status == 4 || status == 5 || status >= 500 }
	if i := slices.IndexFunc(h.Handled, failure); i >= 0 {
		say("handled %s: a delivery that fails with it counts as delivered, and is not retried: write, for example, handled 2xx", statusText(h.Handled[i]))
	}
	if i := slices.IndexFunc(h.StopOn, func(status int) bool { return status == 5 || status >= 500 }); i >= 0 {
		say("stop_on %s: while the app is down or restarts, deliveries are dead after one attempt: write, for example, stop_on 410", statusText(h.StopOn[i]))
	}
	if d := time.Duration(h.GiveUp); d < shortGiveUp {
		say("give_up is %s: deliveries are dead if the app is down for that long: write, for example, give_up 3d", d)
	}
	return texts
}

// statusText writes a status or a class of them as in the Caddyfile.
func statusText(status int) string {
	if status < 10 {
		return strconv.Itoa(status) + "xx"
	}
	return strconv.Itoa(status)
}

// appID is the ID of the app that all endpoints share.
const appID = "verify_webhook"

func (h *Handler) setDefaults() {
	h.Mode = cmp.Or(h.Mode, modeAlways)
	h.Answer = cmp.Or(h.Answer, defaultAnswer)
	h.Concurrency = cmp.Or(h.Concurrency, defaultConcurrency)
	h.Timeout = cmp.Or(h.Timeout, caddy.Duration(defaultTimeout))
	h.GiveUp = cmp.Or(h.GiveUp, caddy.Duration(durable.DefaultGiveUp))
	h.Keep = cmp.Or(h.Keep, caddy.Duration(defaultKeep))
	h.MaxEntries = cmp.Or(h.MaxEntries, defaultMaxEntries)
	if len(h.Handled) == 0 {
		h.Handled = []int{2}
	}
	if len(h.StopOn) == 0 {
		h.StopOn = []int{http.StatusGone}
	}
	h.policy = durable.DefaultPolicy()
	h.policy.GiveUp = time.Duration(h.GiveUp)
	if len(h.Retry) > 0 {
		h.policy.Schedule = nil
	}
	for _, delay := range h.Retry {
		h.policy.Schedule = append(h.policy.Schedule, time.Duration(delay))
	}
}

// validName matches valid names of queues, which are metric labels and command
// arguments.
var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("missing name: write, for example, webhook_queue orders")
	case !validName.MatchString(name):
		return fmt.Errorf("invalid name: %q: use up to 64 letters, digits and any of ._-", option.Shown(name))
	}
	return nil
}

// check rejects invalid settings.
func (h *Handler) check() error {
	if err := checkName(h.Name); err != nil {
		return fmt.Errorf("webhook_queue: %w", err)
	}
	if err := h.checkSettings(); err != nil {
		return fmt.Errorf("webhook_queue %s: %w", h.Name, err)
	}
	return nil
}

func (h *Handler) checkSettings() error {
	switch {
	case len(h.Deliver) == 0:
		return errors.New("missing deliver: write, for example, deliver { reverse_proxy localhost:5000 }")
	case h.Mode != modeAlways && h.Mode != modeWhenDown:
		return option.Unrecognized("mode", h.Mode, modeAlways, modeWhenDown)
	case h.Answer < 200 || h.Answer > 299:
		return fmt.Errorf("answer %d is not a success, so the provider would resend the delivery: write, for example, answer 200", h.Answer)
	case h.Concurrency > maxConcurrency:
		return fmt.Errorf("concurrency %d is more than %d: write, for example, concurrency 8", h.Concurrency, maxConcurrency)
	}
	for _, n := range []struct {
		name           string
		value, example int64
	}{{"concurrency", int64(h.Concurrency), defaultConcurrency}, {"max_entries", h.MaxEntries, defaultMaxEntries}, {"max_bytes", h.MaxBytes, 1 << 30}} {
		if err := option.NotNegative(n.name, n.value, n.example); err != nil {
			return err
		}
	}
	for _, d := range []struct {
		name    string
		value   caddy.Duration
		example string
	}{{"timeout", h.Timeout, "1m"}, {"give_up", h.GiveUp, "3d"}, {"keep", h.Keep, "30d"}} {
		if err := option.AtLeast(d.name, d.value, time.Millisecond, d.example); err != nil {
			return err
		}
	}
	for _, delay := range h.Retry {
		if err := option.AtLeast("retry", delay, time.Millisecond, "5s 30s 2m"); err != nil {
			return err
		}
	}
	if err := checkStatuses("handled", h.Handled); err != nil {
		return err
	}
	if err := checkStatuses("stop_on", h.StopOn); err != nil {
		return err
	}
	return h.policy.Check()
}

// maxConcurrency protects the app from a typing error.
const maxConcurrency = 10_000

func checkStatuses(name string, statuses []int) error {
	for _, status := range statuses {
		if (status < 1 || status > 5) && (status < 200 || status > 599) {
			return fmt.Errorf("%s %d is not a status code: write, for example, %[1]s 2xx 410", name, status)
		}
	}
	return nil
}

// Cleanup implements caddy.CleanerUpper.
func (h *Handler) Cleanup() error {
	if !h.joined {
		return nil
	}
	h.joined = false
	return h.group.leave(h)
}

// Routes returns the deliver routes, QueueName the name of the queue, for the gate's
// config checks.
func (h *Handler) Routes() caddyhttp.RouteList { return h.Deliver }

// QueueName returns the name of the queue: see Routes.
func (h *Handler) QueueName() string { return h.Name }

// ServeHTTP stores a verified delivery and responds.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	v := caddymodule.FromContext(r.Context())
	if v == nil {
		return h.notVerified(w, r)
	}
	h.noteTracer(r.Context())
	a := &acceptance{h: h, v: v, r: r, received: h.now(), key: v.Key}
	if a.key == "" || v.Copies { // it cannot be distinguished from its copies, or must not be
		a.key = durable.NewKey()
	}
	if h.Mode == modeWhenDown {
		done, err := a.tryApp(w)
		if done || err != nil {
			return err
		}
	}
	if err := a.store(); err != nil {
		h.logPutError(err)
		refuse(w)
		return nil
	}
	v.Stored() // before the response, which then does not wait for the replay store
	w.WriteHeader(h.Answer)
	return nil
}

// refuse responds with 503, so that the provider retries. It is a response and not
// an error, because an error route could turn an error into a success.
func refuse(w http.ResponseWriter) {
	w.Header().Set("Retry-After", strconv.Itoa(retryAfterFull))
	w.WriteHeader(http.StatusServiceUnavailable)
}

// notVerified rejects a request that verify_webhook has not verified. Mode monitor
// forwards such requests. They must not be queued, because a queue delivers only
// verified ones.
func (h *Handler) notVerified(w http.ResponseWriter, r *http.Request) error {
	if r.Header.Get(caddymodule.HeaderOutcome) != "" {
		h.log().Error("verify_webhook in mode monitor forwarded an unverified request: only verified deliveries are queued", zap.String("queue", h.Name))
		refuse(w)
		return nil
	}
	return caddyhttp.Error(http.StatusInternalServerError,
		fmt.Errorf("webhook_queue %s: the request was not verified: write verify_webhook before it, in the same handle", h.Name))
}

// handled reports whether the app's status counts as handled, stops whether it
// ends the attempts.
func (h *Handler) handled(status int) bool { return matchesAny(status, h.Handled) }

func (h *Handler) stops(status int) bool { return matchesAny(status, h.StopOn) }

func matchesAny(status int, wanted []int) bool {
	for _, want := range wanted {
		if caddyhttp.StatusCodeMatches(status, want) {
			return true
		}
	}
	return false
}

// Interface guards.
var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.CleanerUpper          = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
