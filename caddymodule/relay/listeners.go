package relay

import (
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/verify-webhook/caddy-verify-webhook/internal/filewatch"
	"github.com/verify-webhook/caddy-verify-webhook/internal/option"
	"github.com/verify-webhook/caddy-verify-webhook/internal/sse"
	"github.com/verify-webhook/caddy-verify-webhook/provider"
)

func init() { caddy.RegisterModule(new(Listeners)) }

// Listeners accepts connections of `caddy verify-webhook listen` from developers'
// machines, which then receive the deliveries of a `webhook_relay`.
//
// A machine must send the token, over TLS or from this machine. One machine
// listens at a time: a new connection replaces the previous one.
//
// Syntax:
//
//	webhook_listeners [<matcher>] <name> <token> {
//		heartbeat <duration>
//	}
//
// Example:
//
//	handle /relay* {
//		webhook_listeners dev {env.RELAY_TOKEN}
//	}
type Listeners struct {
	// The name of the relay. Required.
	Relay string `json:"relay,omitempty"`
	// The token that machines must send, preferably as a placeholder:
	// `{env.NAME}`, or `{file./path}`, which is reloaded when the file changes.
	// Required.
	Token string `json:"token,omitempty"`
	// How often both ends send a heartbeat. A connection without one for twice
	// that long is closed. Default: 15s.
	Heartbeat caddy.Duration `json:"heartbeat,omitempty"`

	relay   *relay
	token   atomic.Pointer[token]
	closing chan struct{} // closed when the server stops
	config  any           // the app of the config that this belongs to
	logger  *zap.Logger
}

// token is what machines must show.
type token struct {
	sum [sha256.Size]byte
	// revoked is closed when another takes its place.
	revoked chan struct{}
}

// CaddyModule returns the Caddy module information.
func (*Listeners) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.webhook_listeners", New: func() caddy.Module { return new(Listeners) }}
}

// Provision implements caddy.Provisioner.
func (h *Listeners) Provision(ctx caddy.Context) error {
	h.logger = ctx.Logger()
	h.Heartbeat = cmp.Or(h.Heartbeat, caddy.Duration(defaultHeartbeat))
	if err := checkName("webhook_listeners", h.Relay); err != nil {
		return err
	}
	if err := h.takeName(ctx); err != nil {
		return err
	}
	if option.LooksSecret(h.Relay) {
		h.logger.Warn("the name of a relay looks like a token, and names appear in logs and metrics: write webhook_listeners <name> <token>")
	}
	files := filewatch.In(h.Token)
	if err := h.readToken(); err != nil {
		return err
	}
	if len(files.Files()) > 0 {
		go files.Run(ctx, func() { h.renewToken(files.Files()) })
	}
	if err := registerMetrics(ctx); err != nil {
		return err
	}
	h.relay = relays.take(h.Relay)
	h.closing = make(chan struct{})
	// The streams never end by themselves, and a server that stops waits for
	// them.
	if server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server); ok {
		server.RegisterOnShutdown(sync.OnceFunc(func() { close(h.closing) }))
	}
	return nil
}

// Validate implements caddy.Validator.
func (h *Listeners) Validate() error {
	if time.Duration(h.Heartbeat) < 100*time.Millisecond {
		return fmt.Errorf("heartbeat %s is too short: write, for example, heartbeat 15s", time.Duration(h.Heartbeat))
	}
	return nil
}

// Cleanup implements caddy.CleanerUpper.
func (h *Listeners) Cleanup() error {
	relays.giveBack(h.relay)
	names.CompareAndDelete(nameInConfig{h.config, h.Relay}, h)
	return nil
}

// names contains the relay names of each config.
var names sync.Map

type nameInConfig struct {
	config any
	name   string
}

// takeName refuses a name that the config already uses with another token, because
// one of the tokens would have no effect.
func (h *Listeners) takeName(ctx caddy.Context) error {
	app, err := ctx.App("verify_webhook")
	if err != nil {
		return fmt.Errorf("loading the verify_webhook app: %w", err)
	}
	// A site with two addresses may have two servers, each with all handlers.
	other, taken := names.LoadOrStore(nameInConfig{app, h.Relay}, h)
	if taken && other.(*Listeners).Token != h.Token {
		return fmt.Errorf("duplicate webhook_listeners %s with different tokens: keep one, or give each relay its own name", h.Relay)
	}
	h.config = app
	return nil
}

// shortToken is the length below which a token can be guessed.
const shortToken = 16

func (h *Listeners) readToken() error {
	if h.Token == "" {
		return fmt.Errorf("webhook_listeners %s has no token: write `webhook_listeners %[1]s {env.NAME}`, and set NAME to the output of `openssl rand -hex 32`", h.Relay)
	}
	text, err := provider.Resolve(h.Token)
	if err != nil {
		return fmt.Errorf("webhook_listeners %s: token: %w", h.Relay, err)
	}
	if text = strings.TrimSpace(text); text == "" {
		return fmt.Errorf("webhook_listeners %s: the token is blank: set it to the output of `openssl rand -hex 32`", h.Relay)
	}
	if strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return fmt.Errorf("webhook_listeners %s: the token contains characters that are invalid in a header: set it to the output of `openssl rand -hex 32`", h.Relay)
	}
	if len(text) < shortToken && option.LooksSecret(h.Relay) {
		return errors.New("webhook_listeners: the name looks like a token, and the token like a name: write webhook_listeners <name> <token>")
	}
	if len(text) < shortToken {
		h.logger.Warn("the token of a relay is short and can be guessed: set it to the output of `openssl rand -hex 32`", zap.String("relay", h.Relay))
	}
	if option.Plaintext(h.Token) {
		h.logger.Warn("the token of a relay is in plaintext in the config, where the config API and autosave.json show it: write {env.NAME} or {file./path} instead", zap.String("relay", h.Relay))
	}
	h.setToken(sha256.Sum256([]byte(text)))
	return nil
}

// setToken replaces the token, and ends the streams that were opened with
// the previous one.
func (h *Listeners) setToken(sum [sha256.Size]byte) {
	former := h.token.Load()
	if former != nil && former.sum == sum {
		return
	}
	h.token.Store(&token{sum, make(chan struct{})})
	if former != nil {
		close(former.revoked)
	}
}

func (h *Listeners) renewToken(files []string) {
	if err := h.readToken(); err != nil {
		h.logger.Error("a file with a relay's token has changed, but cannot be used; the previous token stays in use", zap.Strings("files", files), zap.Error(err))
		return
	}
	h.logger.Info("reloaded the token of a relay from changed files", zap.String("relay", h.Relay), zap.Strings("files", files))
}

// The headers and parameters of the protocol.
const (
	headerSession     = "Webhook-Relay-Session"
	headerLastEventID = "Last-Event-Id"
	paramAnswer       = "answer"
)

var usableSession = regexp.MustCompile(`^[A-Za-z0-9_-]{16,64}$`)

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (h *Listeners) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	if !secure(r) {
		return caddyhttp.Error(http.StatusForbidden, errors.New("webhook_listeners: the token must not be sent unencrypted: connect with https, or from this machine"))
	}
	shown := h.token.Load()
	if !shown.shownBy(r) {
		refused.WithLabelValues(h.relay.name).Inc()
		w.Header().Set("WWW-Authenticate", "Bearer")
		return caddyhttp.Error(http.StatusUnauthorized, errors.New("webhook_listeners: the token is missing or invalid"))
	}
	session := r.Header.Get(headerSession)
	if !usableSession.MatchString(session) {
		return caddyhttp.Error(http.StatusBadRequest, errors.New("webhook_listeners: "+headerSession+" must be 16 to 64 letters, digits, dashes or underscores"))
	}
	switch {
	case r.Method == http.MethodGet:
		return h.stream(w, r, session, shown.revoked)
	case r.Method == http.MethodDelete:
		h.relay.dismiss(session)
		w.WriteHeader(http.StatusNoContent)
		return nil
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", "GET, POST, DELETE")
		return caddyhttp.Error(http.StatusMethodNotAllowed, errors.New("webhook_listeners: use GET to listen, POST to respond, DELETE to leave"))
	case r.URL.Query().Has(paramAnswer):
		return h.takeAnswer(w, r, session)
	default:
		return h.takeHeartbeat(w, session)
	}
}

// secure reports whether the token was sent encrypted or from this machine.
func secure(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	if trusted, _ := caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool); trusted && r.Header.Get("X-Forwarded-Proto") == "https" {
		return true
	}
	// A proxy on this machine may report that it received the token unencrypted.
	if proto := r.Header.Get("X-Forwarded-Proto"); proto != "" && proto != "https" {
		return false
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr == "@" || r.RemoteAddr == "" // a Unix socket
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// shownBy reports whether a request contains the token.
func (t *token) shownBy(r *http.Request) bool {
	values := r.Header["Authorization"]
	if len(values) != 1 {
		return false
	}
	scheme, text, found := strings.Cut(values[0], " ")
	sum := sha256.Sum256([]byte(text))
	return found && strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(sum[:], t.sum[:]) == 1
}

// The reasons for the end of a stream.
const (
	farewellReplaced       = "replaced"
	farewellReplacedStream = "superseded"
	farewellSilent         = "silent"
	farewellLeft           = "left"
	farewellClosing        = "closing"
	farewellRevoked        = "revoked"
)

// stream sends deliveries until either end closes it.
func (h *Listeners) stream(w http.ResponseWriter, r *http.Request, session string, revoked <-chan struct{}) error {
	heartbeat := time.Duration(h.Heartbeat)
	events, err := sse.Start(w, heartbeat*silences)
	if err != nil {
		return nil // the listener has disconnected
	}
	l, s, hello, missed := h.relay.attach(&listener{session: session, address: r.RemoteAddr, heartbeat: heartbeat, logger: h.logger}, r.Header.Get(headerLastEventID))
	defer h.relay.detach(l, s)
	if sendJSON(events, "hello", hello) != nil || (missed != nil && sendJSON(events, "gap", missed) != nil) {
		return nil
	}
	ticker := time.NewTicker(heartbeat)
	defer ticker.Stop()
	for {
		for d := h.relay.next(l, s); d != nil; d = h.relay.next(l, s) {
			if h.pass(d, events) != nil {
				h.relay.takeBack(d, l, s)
				return nil
			}
		}
		select {
		case <-revoked:
			return sendJSON(events, "bye", farewell{farewellRevoked})
		case <-s.wake:
			continue
		case <-ticker.C:
			err = events.Beat()
		case <-s.stop:
			return sendJSON(events, "bye", farewell{s.farewell})
		case <-h.closing:
			return sendJSON(events, "bye", farewell{farewellClosing})
		case <-r.Context().Done():
			return nil
		}
		if err != nil {
			return nil
		}
	}
}

// pass sends one delivery. If its body is no longer available, because the provider
// no longer waits, or cannot be read, the delivery ends and the stream continues.
func (h *Listeners) pass(d *delivery, events *sse.Stream) error {
	err := d.message.send(events, d.id)
	if broken, ok := errors.AsType[bodyError](err); ok {
		h.relay.fail(d, fmt.Errorf("%w: %w", errBody, broken.error))
		return events.Retype("withdrawn")
	}
	return err
}

// farewell sends the reason for the end of a stream.
type farewell struct {
	Reason string `json:"reason"`
}

func sendJSON(events *sse.Stream, kind string, content any) error {
	data, err := json.Marshal(content)
	if err != nil {
		return err
	}
	return events.Send(sse.Event{Type: kind, Data: data})
}

// takeHeartbeat answers whether deliveries reach a machine.
func (h *Listeners) takeHeartbeat(w http.ResponseWriter, session string) error {
	if !h.relay.signOfLife(session) {
		return caddyhttp.Error(http.StatusGone, errors.New("webhook_listeners: this session is not listening"))
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// answerWithin is the time in which a response must arrive.
const answerWithin = 2 * time.Minute

var errGone = caddyhttp.Error(http.StatusGone, errors.New("webhook_listeners: this response is no longer awaited"))

// takeAnswer receives the response to a delivery.
func (h *Listeners) takeAnswer(w http.ResponseWriter, r *http.Request, session string) error {
	id := r.URL.Query().Get(paramAnswer)
	if !h.relay.awaits(id, session) { // and it is not read
		return errGone
	}
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Now().Add(answerWithin)) // if the server supports deadlines
	a, err := readAnswer(r.Body)
	_ = rc.SetReadDeadline(time.Time{})
	if err != nil {
		return caddyhttp.Error(http.StatusBadRequest, fmt.Errorf("webhook_listeners: %w", err))
	}
	if !h.relay.answer(id, session, a) {
		return errGone
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// Interface guards.
var (
	_ caddy.Provisioner           = (*Listeners)(nil)
	_ caddy.Validator             = (*Listeners)(nil)
	_ caddy.CleanerUpper          = (*Listeners)(nil)
	_ caddyhttp.MiddlewareHandler = (*Listeners)(nil)
)
