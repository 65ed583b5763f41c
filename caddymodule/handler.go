// Package caddymodule is the Caddy side of webhook verification: the
// `verify_webhook` handler, its Caddyfile, the app that endpoints share, and
// the modules that make the replay stores available to Caddy.
package caddymodule

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/verify-webhook/caddy-verify-webhook/body"
	"github.com/verify-webhook/caddy-verify-webhook/internal/filewatch"
	"github.com/verify-webhook/caddy-verify-webhook/internal/option"
	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/replay"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

func init() { caddy.RegisterModule(new(Handler)) }

// Handler verifies webhook deliveries and rejects replays: it checks the
// signature over the exact bytes, the age of the timestamp, and that the delivery
// was not handled before.
//
// Deliveries that pass go to the next handler, usually `reverse_proxy`, whose
// status decides whether the delivery counts as handled. All others are rejected
// with an error, so `handle_errors` applies.
//
// The next handler receives the body byte for byte, and the headers
// `Webhook-Verified-Provider`, `-Id`, `-Event`, `-Timestamp`, `-Key` and
// `-Unsigned`, which lists those of them that the signature does not cover.
// Client-supplied headers with these names are stripped.
//
// Syntax:
//
//	verify_webhook [<matcher>] <provider> [<secret>] {
//		secret       <secret> [<label>]
//		tolerance    <duration>
//		public_url   <url>
//		<options of the provider>
//		events       <patterns...>
//		max_body     <size>
//		body_timeout <duration>
//		app_timeout  <duration>
//		mode         enforce|monitor
//		forward_token
//		namespace    <name>
//		replay [off] {
//			content        unique|repeats
//			store          <type> [<arguments...>]
//			window         <duration>
//			lease          <duration>
//			handled        <statuses...>
//			on_duplicate   <status>
//			on_replay      <status>
//			on_store_error reject|allow
//			wait           <duration>
//			max_waiting    <number>
//		}
//	}
//
// Example:
//
//	hooks.example.com {
//		handle /webhooks/github {
//			verify_webhook github {env.GITHUB_WEBHOOK_SECRET}
//			reverse_proxy localhost:5000
//		}
//		handle {
//			respond 404
//		}
//	}
//
// The handler sets these placeholders:
//
// Placeholder | Description
// ------------|------------
// `{http.verify_webhook.outcome}` | The outcome: `verified`, `duplicate`, `replayed`, `in_progress`, `ignored`, `handshake`, `unhandled`, `missing_signature`, `invalid_signature`, `stale`, `malformed`, `too_large`, `body_timeout`, `overloaded`, `store_unavailable` or `undecided`
// `{http.verify_webhook.reason}` | Why the delivery was rejected, for the operator
// `{http.verify_webhook.provider}` | The name of the provider
// `{http.verify_webhook.id}` | The delivery ID
// `{http.verify_webhook.event}` | The event type
// `{http.verify_webhook.timestamp}` | When the delivery was signed, in Unix seconds
// `{http.verify_webhook.key}` | A key for idempotent writes, the same on every retry
// `{http.verify_webhook.secret}` | The label or position of the secret that matched
type Handler struct {
	// The provider that sends the deliveries, with its secrets. Required.
	ProviderRaw json.RawMessage `json:"provider,omitempty" caddy:"namespace=http.verify_webhook.providers inline_key=name"`

	// The event types to forward; `*` matches any text. A delivery of another
	// type gets 204 and is not forwarded. Default: all.
	Events []string `json:"events,omitempty"`

	// The largest body, in bytes. A larger one gets 413. Default: 25 MiB, as
	// GitHub documents; 64 MiB for providers that send whole mails, and less
	// for providers whose deliveries are known to be small. 4 MiB for a delivery
	// whose body is hashed with SHA-384 or SHA-512, including Ed25519.
	MaxBody int64 `json:"max_body,omitempty"`

	// How long the body may take to arrive; after that the sender gets 408.
	// Default: 30s.
	BodyTimeout caddy.Duration `json:"body_timeout,omitempty"`

	// How long the app may take, even if the provider disconnects.
	// Default: 5m.
	AppTimeout caddy.Duration `json:"app_timeout,omitempty"`

	// `enforce` rejects forged, stale and replayed deliveries. `monitor` counts
	// and logs them, but forwards everything, with a `Webhook-Verified-Outcome`
	// header that has the outcome under `enforce`. Default: `enforce`.
	Mode string `json:"mode,omitempty"`

	// Forward the header in which the provider sends the secret itself, such
	// as GitLab's X-Gitlab-Token. Default: false, so that the app and its logs
	// do not get the secret. Mode `monitor` always forwards it.
	ForwardToken bool `json:"forward_token,omitempty"`

	// Required for endpoints that share a secret: those with the same namespace
	// count as one endpoint, those with different namespaces are separate.
	// Default: none.
	Namespace string `json:"namespace,omitempty"`

	// How replays are recognized. Default: the settings of the provider.
	Replay Replay `json:"replay,omitzero"`

	providerJSON json.RawMessage // as in the config
	aside        bool            // a trial beside the running config, which is neither counted nor observed

	current  atomic.Pointer[loadedProvider]
	app      *App
	shared   *configStore // the part of the store that all its users share
	store    gateStore
	ownStore bool // the config names a store for this endpoint
	limits   body.Limits
	// slowMaxBody is max_body for a body whose hash is slow.
	slowMaxBody int64
	renewals    renewals
	waiting     chan struct{} // a slot for every copy that can wait
	// background has a slot for every delivery whose claim can be ended after
	// its response.
	background chan struct{}
	handshakes *handshakeDesk
	lastStored atomic.Int64 // when the first of a group of stored deliveries was committed, in Unix nanoseconds
	log        *boundedLog
	inConfig   caddyPlace
	identity   atomic.Pointer[endpointIdentity]
	metrics    *endpointMetrics // of the name at provisioning
	logger     *zap.Logger
	now        func() time.Time
}

// Replay configures how handled deliveries are remembered.
type Replay struct {
	// Disable replay protection: every verified delivery is forwarded, copies
	// included. Of the other options only `handled` can be set then.
	// Default: false.
	Off bool `json:"off,omitempty"`

	// Whether two different deliveries can have the same content. With
	// `unique`, the same content is a copy, whatever its unsigned delivery ID.
	// With `repeats`, it is a copy only under the same delivery ID; if the
	// provider sends no ID, every delivery is forwarded. Cannot be set if the
	// provider signs the delivery ID. Default: the provider's.
	Content provider.Content `json:"content,omitempty"`

	// The replay store. Default: the store of the `verify_webhook` global
	// option.
	StoreRaw json.RawMessage `json:"store,omitempty" caddy:"namespace=http.verify_webhook.stores inline_key=type"`

	// How long a handled delivery is remembered; at least twice the tolerance.
	// Default: how long the provider retries or lets users resend, mostly 7d.
	Window caddy.Duration `json:"window,omitempty"`

	// How long a delivery stays blocked after a crash. The lease is renewed
	// while the app works. Default: 1m.
	Lease caddy.Duration `json:"lease,omitempty"`

	// Which statuses of the app count as handled: status codes, or 2 for 2xx.
	// Default: 2.
	Handled []int `json:"handled,omitempty"`

	// The status for a delivery that was handled before. Some providers disable
	// a webhook that responds 4xx, so it should be 2xx. Default: 200.
	OnDuplicate int `json:"on_duplicate,omitempty"`

	// The status for content that was handled before and is sent again under
	// another, unsigned, delivery ID. Default: 200.
	OnReplay int `json:"on_replay,omitempty"`

	// What to do if the store fails: `reject` with 503, so that the provider
	// retries, or `allow`, which forwards duplicates. Default: `reject`.
	OnStoreError string `json:"on_store_error,omitempty"`

	// How long a copy waits for the response to the first one. Default: 10s.
	Wait caddy.Duration `json:"wait,omitempty"`

	// How many copies can wait at once. Further ones get 503 immediately.
	// Default: 256.
	MaxWaiting int `json:"max_waiting,omitempty"`
}

// Defaults.
const (
	defaultMaxBody = 25 << 20
	// defaultSlowBody applies to a body that is hashed with SHA-384 or SHA-512,
	// which take more than twice as long as SHA-256. No such sender documents
	// larger deliveries.
	defaultSlowBody    = 4 << 20
	defaultBodyTimeout = 30 * time.Second
	defaultAppTimeout  = 5 * time.Minute
	defaultLease       = time.Minute
	defaultWait        = 10 * time.Second
	defaultMaxWaiting  = 256
	// defaultWindow is for a provider that does not document its retries.
	defaultWindow = 7 * 24 * time.Hour
	// inMemory is the size up to which a body is kept in memory.
	inMemory = 1 << 20
	// storeTimeout bounds a call to the store.
	storeTimeout = 5 * time.Second
	// maxBackground is how many deliveries of an endpoint may have their
	// claims ended in the background, while the store fails.
	maxBackground = 1024
)

// CaddyModule returns the Caddy module information.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.verify_webhook",
		New: func() caddy.Module { return new(Handler) },
	}
}

// Provision implements caddy.Provisioner.
func (h *Handler) Provision(ctx caddy.Context) error {
	if h.logger == nil {
		h.logger = ctx.Logger()
	}
	h.inConfig = h.placeInConfig(ctx)
	if err := h.provision(ctx); err != nil {
		return h.configError(h.inConfig, err)
	}
	return nil
}

func (h *Handler) provision(ctx caddy.Context) error {
	h.log = newBoundedLog(h.logger)
	h.providerJSON = slices.Clone(h.ProviderRaw) // Caddy clears it after loading it
	if h.now == nil {
		h.now = time.Now
	}
	secretFiles := filewatch.InJSON(h.ProviderRaw)
	if h.handshakes == nil {
		h.handshakes = &handshakes
	}
	if err := h.loadProvider(ctx); err != nil {
		return err
	}
	h.setDefaults()
	if err := h.findApp(ctx); err != nil {
		return err
	}
	if err := h.app.register(h); err != nil {
		return err
	}
	var err error
	if err := h.identify(h.endpointName()); err != nil {
		return err
	}
	h.startRotation(ctx, secretFiles)
	h.waiting = make(chan struct{}, max(0, h.Replay.MaxWaiting))
	h.background = make(chan struct{}, maxBackground)
	h.ownStore = h.Replay.StoreRaw != nil // Caddy clears it after loading it
	if h.shared, err = h.app.storeFor(ctx, &h.Replay); err != nil {
		return err
	}
	h.store = h.shared.meteredStore
	return nil
}

// Validate implements caddy.Validator.
func (h *Handler) Validate() error {
	if err := h.check(); err != nil {
		return h.configError(h.inConfig, err)
	}
	h.warn()
	return nil
}

// Cleanup implements caddy.CleanerUpper.
func (h *Handler) Cleanup() error {
	if id := h.identity.Swap(nil); id != nil {
		return id.metrics.release()
	}
	return nil
}

// findApp returns the app of the config. A trial has an app of its own.
func (h *Handler) findApp(ctx caddy.Context) error {
	if h.app != nil {
		return nil
	}
	app, err := ctx.App(appID)
	if err != nil {
		return fmt.Errorf("loading the verify_webhook app: %w", err)
	}
	h.app = app.(*App)
	return nil
}

func (h *Handler) loadProvider(ctx caddy.Context) error {
	if h.ProviderRaw == nil {
		return errors.New("no provider: write its name after verify_webhook, for example `verify_webhook github {env.NAME}`")
	}
	m, err := ctx.LoadModule(h, "ProviderRaw")
	if err != nil {
		return fmt.Errorf("loading provider: %w", err)
	}
	p, ok := m.(provider.Provider)
	if !ok {
		return fmt.Errorf("module %T is in the namespace of providers but is none", m)
	}
	h.current.Store(newLoadedProvider(p))
	return nil
}

func (h *Handler) setDefaults() {
	h.Mode = cmp.Or(h.Mode, modeEnforce)
	h.slowMaxBody = cmp.Or(h.MaxBody, h.info().MaxBody, defaultSlowBody)
	h.MaxBody = cmp.Or(h.MaxBody, h.info().MaxBody, defaultMaxBody)
	h.BodyTimeout = cmp.Or(h.BodyTimeout, caddy.Duration(defaultBodyTimeout))
	h.AppTimeout = cmp.Or(h.AppTimeout, caddy.Duration(defaultAppTimeout))
	r := &h.Replay
	r.Window = cmp.Or(r.Window, caddy.Duration(h.info().Window), caddy.Duration(defaultWindow))
	r.Lease = cmp.Or(r.Lease, caddy.Duration(defaultLease))
	r.OnDuplicate = cmp.Or(r.OnDuplicate, http.StatusOK)
	r.OnReplay = cmp.Or(r.OnReplay, http.StatusOK)
	r.OnStoreError = cmp.Or(r.OnStoreError, "reject")
	r.Wait = cmp.Or(r.Wait, caddy.Duration(defaultWait))
	r.MaxWaiting = cmp.Or(r.MaxWaiting, defaultMaxWaiting)
	if len(r.Handled) == 0 {
		r.Handled = []int{2}
	}
	h.limits = body.Limits{MaxSize: h.MaxBody, InMemory: min(inMemory, h.MaxBody)}
}

// check refuses settings that contradict each other or a guarantee.
func (h *Handler) check() error {
	r := &h.Replay
	switch {
	case h.Mode != modeEnforce && h.Mode != modeMonitor:
		return option.Unrecognized("mode", h.Mode, modeEnforce, modeMonitor)
	case h.MaxBody < 0:
		return fmt.Errorf("max_body %d is negative", h.MaxBody)
	case h.BodyTimeout < 0 || h.AppTimeout < 0 || r.Window < 0 || r.Lease < 0 || r.Wait < 0 || r.MaxWaiting < 0:
		return errors.New("a duration or number is negative")
	}
	if err := h.checkMeant(); err != nil {
		return err
	}
	switch {
	case time.Duration(r.Lease) < time.Second:
		return fmt.Errorf("lease %s is too short to be renewed: write 1s or more, for example lease 1m; in JSON a number is nanoseconds: write \"lease\": \"1m\"", time.Duration(r.Lease))
	case time.Duration(r.Window) < h.info().Coverage.MinWindow():
		return h.shortWindow()
	case r.OnStoreError != "reject" && r.OnStoreError != "allow":
		return option.Unrecognized("on_store_error", r.OnStoreError, "reject", "allow")
	case len(h.Events) > 0 && !h.info().Coverage.HasEvent:
		return errors.New("events: the position of the event type is not configured: leave events out or, with custom, write for example: event json type")
	}
	if err := h.checkContent(); err != nil {
		return err
	}
	if err := checkStatus("on_duplicate", r.OnDuplicate); err != nil {
		return err
	}
	if err := checkStatus("on_replay", r.OnReplay); err != nil {
		return err
	}
	for _, status := range r.Handled {
		if (status < 1 || status > 5) && (status < 200 || status > 599) {
			return fmt.Errorf("handled %d is no status code: write, for example, handled 2xx 410", status)
		}
	}
	return nil
}

// checkContent refuses a content setting that has no effect.
func (h *Handler) checkContent() error {
	r := &h.Replay
	switch {
	case r.Off && (r.Content != "" || h.ownStore):
		return errors.New("replay is off, so nothing is remembered: remove content and store, or off")
	case r.Content != "" && r.Content != provider.ContentUnique && r.Content != provider.ContentRepeats:
		return option.Unrecognized("content", string(r.Content), string(provider.ContentUnique), string(provider.ContentRepeats))
	case r.Content != "" && h.info().Coverage.IDSigned:
		return fmt.Errorf("content %s has no effect: %s signs its delivery ID, which identifies the delivery; remove it", r.Content, h.info().Name)
	}
	return nil
}

// repeats reports whether two different deliveries can have the same content.
func (r *Replay) repeats(v *signature.Delivery) bool {
	switch r.Content {
	case provider.ContentRepeats:
		return true
	case provider.ContentUnique:
		return false
	default:
		return v.Repeats
	}
}

// indistinguishable reports whether a delivery of the endpoint and its copy look
// the same as two different deliveries.
func (h *Handler) indistinguishable() bool {
	content := cmp.Or(h.Replay.Content, h.info().Distinction.Content)
	return content == provider.ContentRepeats && !h.info().Coverage.HasID
}

// shortWindow explains why the window is too short: a copy would still be
// accepted after the delivery has been forgotten.
func (h *Handler) shortWindow() error {
	window, t := time.Duration(h.Replay.Window), h.info().Coverage
	if t.MinWindow() > 2*t.Tolerance {
		return fmt.Errorf("window %s is shorter than the %s for which a copy of a delivery is accepted: write window %s or more", window, t.MinWindow(), t.MinWindow())
	}
	return fmt.Errorf("window %s is shorter than twice the tolerance of %s, so a replay could outlive it: write window %s or more, or a smaller tolerance",
		window, t.Tolerance, 2*t.Tolerance)
}

func checkStatus(option string, status int) error {
	if status >= 500 && status <= 599 {
		return fmt.Errorf("%s %d: %w", option, status, errDuplicateStatus)
	}
	if status < 200 || status > 599 {
		return fmt.Errorf("%s %d is no status that ends a request: write, for example, %s 200", option, status, option)
	}
	return nil
}

// warn logs, once at start, what the operator should know.
func (h *Handler) warn() {
	if h.Mode == modeMonitor {
		h.logger.Warn("mode monitor: nothing is refused, forged deliveries reach the app", zap.String("provider", h.info().Name), zap.String("endpoint", h.endpointName()))
	}
	if h.info().Weakness != "" {
		h.logger.Warn("the provider's signature leaves a gap: "+h.info().Weakness, zap.String("provider", h.info().Name))
	}
	h.warnHandshakes()
	switch {
	case h.Replay.Off:
		h.logger.Warn("replay off: copies and replays of genuine deliveries reach the app", zap.String("provider", h.info().Name), zap.String("endpoint", h.endpointName()))
	case h.indistinguishable():
		h.logger.Warn("copies of a delivery cannot be recognized: the provider sends no delivery ID, and its content repeats; every delivery is forwarded, copies and replays included",
			zap.String("provider", h.info().Name), zap.String("endpoint", h.endpointName()))
	}
	if h.Replay.OnStoreError == "allow" {
		h.logger.Warn("on_store_error allow: while the replay store does not answer, duplicates and replays reach the app", zap.String("provider", h.info().Name))
	}
}

// ServeHTTP handles one delivery.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	d := h.newDelivery(w, r)
	d.metrics.inFlight.Inc()
	defer d.metrics.inFlight.Dec()
	d.observe()
	// Before any check: error routes get the headers of refused requests.
	stripUntrusted(r.Header)
	if h.Mode == modeMonitor {
		return h.watch(d, next)
	}
	defer d.cutBody() // after a panic; otherwise nothing is left to cut

	// Cheap refusals first, before the body is read.
	if err := h.checkHeaders(d); err != nil {
		return h.refuse(d, err)
	}

	// Is it a handshake that needs no body?
	if answer, err := h.answerHeaders(d); err != nil {
		return h.refuse(d, err)
	} else if answer != nil {
		d.verified = &signature.Delivery{Answer: answer}
		return h.answerHandshake(d)
	}

	// The raw body, once, bounded in bytes and time.
	if err := h.readBody(d); err != nil {
		return h.refuse(d, err)
	}
	defer d.body.Release()

	// Is it genuine and fresh?
	if err := h.verify(d); err != nil {
		return h.refuse(d, err)
	}
	if d.verified.Answer != nil {
		return h.answerHandshake(d)
	}
	if err := checkMethod(d); err != nil {
		return h.refuse(d, err)
	}
	h.noticeHandshake(d)
	if !h.wantsEvent(d.verified.Event) {
		return h.ignore(d)
	}

	// Is it new?
	d.deriveKeys(h)
	if err := h.useStore(d); err != nil {
		return h.refuse(d, err)
	}
	defer h.doneWithStore(d)
	claim, verdict, err := h.claim(d)
	if err != nil {
		return h.refuse(d, err)
	}
	if verdict != replay.Ours {
		d.copyBody(Duplicate)
		d.body.Release()
		return h.answerCopy(d, verdict)
	}

	// The app's response decides how the claim ends.
	return h.forward(d, claim, next)
}

// checkHeaders refuses requests whose headers alone show that they are invalid.
func (h *Handler) checkHeaders(d *delivery) error {
	// A length of 0 means that there is no body only on HTTP/1.
	d.bodyUnread = d.r.ContentLength != 0 || d.r.ProtoMajor != 1
	if err := d.provider.CheckHeaders(&d.signed); err != nil {
		return err
	}
	if most := h.maxBody(d); d.r.ContentLength > most {
		return &refusal{outcome: TooLarge, reason: fmt.Sprintf("the declared length is %d bytes, max_body is %d: if the provider sends longer bodies, set max_body", d.r.ContentLength, most)}
	}
	d.observed.step(stepHeaders)
	return nil
}

// answerHeaders answers a handshake that does not depend on the body.
func (h *Handler) answerHeaders(d *delivery) (*signature.Answer, error) {
	p, ok := d.provider.Provider.(provider.HeaderAnswerer)
	if !ok {
		return nil, nil
	}
	return p.AnswerHeaders(&d.signed)
}

// verify asks the provider. Other modules can implement providers, so a result
// that does not name the secret that signed the delivery is not accepted.
func (h *Handler) verify(d *delivery) error {
	start := time.Now()
	verified, err := d.provider.Verify(d.r.Context(), &d.signed)
	d.metrics.verified(start)
	d.body.Settle()
	if errors.Is(err, body.ErrBudget) {
		return h.bodyRefusal(d, err)
	}
	if err != nil {
		return err
	}
	if verified == nil || (verified.Answer == nil && len(verified.Matches) == 0) {
		return errors.New("the provider's module names no secret that has signed")
	}
	d.verified = verified
	if verified.TimestampSigned && !verified.Timestamp.IsZero() {
		d.metrics.skew().Observe(d.signed.Now.Sub(verified.Timestamp).Seconds())
	}
	d.observed.step(stepVerified)
	if d.traced() {
		d.traceEvent("webhook signature verified")
	}
	return nil
}

// wantsEvent reports whether deliveries of this type are forwarded.
func (h *Handler) wantsEvent(event string) bool {
	if len(h.Events) == 0 {
		return true
	}
	for _, pattern := range h.Events {
		if matchEvent(pattern, event) {
			return true
		}
	}
	return false
}

// Interface guards.
var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.Validator             = (*Handler)(nil)
	_ caddy.CleanerUpper          = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
	_ signature.Body              = (*body.Body)(nil)
)
