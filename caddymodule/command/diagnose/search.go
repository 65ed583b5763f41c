package diagnose

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule"
	"github.com/verify-webhook/caddy-verify-webhook/internal/signing"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// variant is a delivery with its verification settings, possibly with a change.
type variant struct {
	schemes   []signature.Scheme
	secret    string
	header    http.Header
	body      []byte
	publicURL string
}

// change is one possible mistake and its correction. apply must not modify what the
// variant points to.
type change struct {
	Finding
	apply func(variant) variant
}

// search tries variants of one case.
type search struct {
	ctx     context.Context // ends the search
	c       *Case
	report  *Report
	tooling *signing.Tooling
	times   []time.Time
	limits  Limits
	tried   int
	work    int64 // bytes hashed
}

const (
	// maxWork limits the time of a search to a few seconds.
	maxWork = 1 << 30
	// maxTried limits it for public keys, where each attempt is expensive.
	maxTried = 50_000
	// maxComputed limits it where each attempt sets up a handler.
	maxComputed = 2_000
	// anyAge is the tolerance of the search: clocks are checked separately.
	anyAge = 366 * 24 * time.Hour
)

func newSearch(ctx context.Context, c *Case, tooling *signing.Tooling, report *Report) *search {
	s := &search{ctx: ctx, c: c, report: report, tooling: tooling, limits: c.Limits}
	s.limits.Bytes = cmp.Or(s.limits.Bytes, maxWork)
	s.limits.Tries = cmp.Or(s.limits.Tries, maxTried)
	if s.coded() {
		s.limits.Tries = min(s.limits.Tries, maxComputed)
	}
	s.times = timesIn(c)
	return s
}

// computed reports whether code verifies, so that only the handler itself can try
// a variant.
func (s *search) coded() bool {
	// The same if code chooses the secret by its label.
	byLabel := func(scheme signature.Scheme) bool { return scheme.KeyID != nil && scheme.KeyID.From == "value" }
	return len(s.tooling.Schemes) == 0 || slices.ContainsFunc(s.tooling.Schemes, byLabel)
}

// asConfigured is the unchanged delivery, with the first secret.
func (s *search) asConfigured() variant {
	v := variant{header: s.c.Request.Header, body: s.c.Request.Body, publicURL: s.c.PublicURL}
	if len(s.c.Secrets) > 0 {
		v.secret = s.c.Secrets[0]
	}
	if !s.coded() {
		v.schemes = s.tooling.Schemes
	}
	return v
}

// rightButForTime returns the delivery if it is signed with a configured secret.
func (s *search) rightButForTime() *signature.Delivery {
	v := s.asConfigured()
	for _, v.secret = range s.c.Secrets {
		if d := s.verify(v); d != nil {
			return d
		}
	}
	return nil
}

// run returns the explanations of the refusal, the simplest first.
func (s *search) run() []Finding {
	start := s.asConfigured()
	if found := s.missing(start); found != nil {
		return found
	}
	for _, secret := range append(slices.Clone(s.c.Secrets[min(1, len(s.c.Secrets)):]), s.c.Others...) {
		other := start
		other.secret = secret
		if s.verify(other) != nil {
			return s.wrongSecret(secret)
		}
	}
	if found := s.redacted(); found != nil {
		return []Finding{*found}
	}
	secrets := secretChanges(start, s.c.Others)
	if found := s.single(start, secrets); found != nil {
		return found
	}
	if found := s.truncated(); found != nil {
		return []Finding{*found} // no change can make its signature valid
	}
	others := [][]change{bodyChanges(start), s.urlChanges(start), signatureChanges(start)}
	for _, group := range others {
		for _, each := range s.eachSecret(start) {
			if found := s.single(each, group); found != nil {
				return found
			}
		}
	}
	if found := s.testDelivery(); found != nil {
		return found
	}
	if found := s.pairs(start, append([][]change{secrets}, others...)); len(found) > 0 {
		return found
	}
	return s.guesses()
}

// eachSecret returns the unchanged delivery, with each of the configured secrets.
func (s *search) eachSecret(start variant) []variant {
	if len(s.c.Secrets) == 0 {
		return []variant{start}
	}
	all := make([]variant, len(s.c.Secrets))
	for i, secret := range s.c.Secrets {
		all[i] = start
		all[i].secret = secret
	}
	return all
}

// single tries single changes.
func (s *search) single(start variant, changes []change) []Finding {
	for _, c := range changes {
		if s.exhausted() {
			return nil
		}
		if s.verify(c.apply(start)) != nil {
			return []Finding{c.Finding}
		}
	}
	return nil
}

// testDelivery recognizes deliveries of the provider's test buttons and simulators.
func (s *search) testDelivery() []Finding {
	if s.tooling.Preset() == nil {
		return nil
	}
	for _, t := range s.tooling.Preset().Tests {
		trial := *s.c
		attempted := s.c.asItCame()
		switch {
		case t.Secret != "":
			attempted.secrets, attempted.labels = []string{t.Secret}, nil
		case t.WebhookID != "":
			trial.Options = withOption(s.c.Options, "webhook_id", t.WebhookID)
		default:
			continue
		}
		tried, err := trial.judge(s.ctx, attempted, s.c.judgedAt())
		outcome := caddymodule.Outcome(tried.Outcome)
		if err == nil && (outcome == caddymodule.Verified || outcome == caddymodule.Handshake || outcome == caddymodule.Stale && t.Secret != "" && !s.coded()) {
			return []Finding{{Kind: "test_delivery", Cause: "the delivery is a test: it is signed with the published key of " + t.From + "", Change: t.Help}}
		}
	}
	return nil
}

// withOption returns a provider's JSON with an additional option.
func withOption(options json.RawMessage, name, value string) json.RawMessage {
	members := map[string]any{}
	_ = json.Unmarshal(options, &members) // judge reports errors
	members[name] = value
	out, err := json.Marshal(members)
	if err != nil {
		return options
	}
	return out
}

// hasSignature reports whether the request has a value where the scheme's
// signature is.
func hasSignature(scheme signature.Scheme, h http.Header) bool {
	f := scheme.Signature
	if f.From != "header" {
		return true
	}
	for _, name := range append([]string{f.Name}, f.Also...) {
		if h.Get(strings.Replace(name, "#", "1", 1)) != "" {
			return true
		}
	}
	return false
}

// pairs tries two changes at once, of different kinds.
func (s *search) pairs(start variant, groups [][]change) []Finding {
	for i, group := range groups {
		for _, others := range groups[i+1:] {
			for _, first := range group {
				changed := first.apply(start)
				for _, second := range others {
					if s.exhausted() {
						return nil
					}
					if s.verify(second.apply(changed)) != nil {
						return []Finding{first.Finding, second.Finding}
					}
				}
			}
		}
	}
	return nil
}

func (s *search) exhausted() bool {
	return s.work > s.limits.Bytes || s.tried > s.limits.Tries || s.ctx.Err() != nil
}

// verify returns the delivery if a variant verifies, whatever its age.
func (s *search) verify(v variant) *signature.Delivery {
	if s.coded() {
		return s.verifyComputed(v)
	}
	for _, scheme := range v.schemes {
		if d := s.verifyScheme(scheme, v); d != nil {
			return d
		}
	}
	return nil
}

// verifyComputed runs the handler on a variant. A stale delivery may not have been
// verified.
func (s *search) verifyComputed(v variant) *signature.Delivery {
	s.tried++
	s.work += int64(len(v.body)) + 10_000
	a := attempt{header: v.header, body: v.body, publicURL: v.publicURL}
	if v.secret != "" {
		a.secrets, a.labels = []string{v.secret}, s.c.Labels[:min(1, len(s.c.Labels))]
	}
	tried, err := s.c.judge(s.ctx, a, s.c.judgedAt())
	outcome := caddymodule.Outcome(tried.Outcome)
	if err != nil || outcome != caddymodule.Verified && outcome != caddymodule.Handshake {
		return nil
	}
	return &signature.Delivery{}
}

func (s *search) verifyScheme(scheme signature.Scheme, v variant) *signature.Delivery {
	text, err := s.tooling.KeyText(v.secret)
	if err != nil || text == "" {
		return nil
	}
	scheme, secret, err := withSecret(scheme, text)
	if err != nil || !scheme.Accepts(secret) {
		return nil
	}
	verifier, err := scheme.Compile([]signature.Secret{secret}, anyAge)
	if err != nil {
		return nil
	}
	r := s.request(v)
	if !scheme.Applies(r) || s.tooling.Prepare(r) != nil || !verifier.Present(r) {
		return nil
	}
	for _, r.Now = range s.times {
		s.tried++
		s.work += int64(len(v.body)) + 200
		d, err := verifier.Verify(r)
		if err == nil {
			return d
		}
		var refused *signature.Refusal
		if !errors.As(err, &refused) || refused.Kind != signature.Stale {
			return nil
		}
	}
	return nil
}

// withSecret returns the secret, and the scheme that accepts it. A secret with white
// space around it, which signature.NewSecret refuses, is passed in hex: senders
// sign with such secrets by mistake.
func withSecret(scheme signature.Scheme, text string) (signature.Scheme, signature.Secret, error) {
	secret, err := signature.NewSecret(text, "")
	isText := scheme.Key.Encoding == "" || scheme.Key.Encoding == "utf8"
	if err == nil || !isText || scheme.Algorithm.Asymmetric() {
		return scheme, secret, err
	}
	key, found := strings.CutPrefix(text, scheme.Key.Prefix)
	if scheme.Key.PrefixRequired && !found {
		return scheme, secret, err
	}
	scheme.Key = signature.KeyFormat{Encoding: "hex"}
	secret, err = signature.NewSecret(hex.EncodeToString([]byte(key)), "")
	return scheme, secret, err
}

func (s *search) request(v variant) *signature.Request {
	scheme := s.c.Request.Scheme
	if scheme == "" {
		scheme = "https"
	}
	return &signature.Request{
		Method: s.c.Request.Method, Scheme: scheme, Host: s.c.host(), RequestURI: s.c.Request.RequestURI,
		PublicURL: v.publicURL, Header: v.header, Body: signature.BytesBody(v.body),
	}
}

// tolerance is the tolerance that the handler uses.
func (s *search) tolerance() time.Duration {
	v := s.asConfigured()
	for _, scheme := range v.schemes {
		text, err := s.tooling.KeyText(v.secret)
		if err != nil {
			continue
		}
		scheme, secret, err := withSecret(scheme, text)
		if err != nil {
			continue
		}
		verifier, err := scheme.Compile([]signature.Secret{secret}, 0)
		if err == nil && verifier.Coverage().TimestampSigned {
			return verifier.Coverage().Tolerance
		}
	}
	return signature.DefaultTolerance
}

// timestampText matches possible times: Unix seconds or milliseconds, RFC 3339 and
// similar formats, HTTP dates.
var timestampText = regexp.MustCompile(`\b1\d{12}\b|\b1\d{9}\b|\b20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d|[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} 20\d\d \d\d:\d\d:\d\d GMT`)

// timesIn returns the times at which to verify the delivery, one for each year: the
// times in it, and now. The search tolerates a year, so one is enough.
func timesIn(c *Case) []time.Time {
	times := []time.Time{c.judgedAt()}
	add := func(text string) {
		t, ok := parseTime(text)
		if !ok || len(times) > 8 {
			return
		}
		for _, other := range times {
			if t.Sub(other).Abs() < anyAge-time.Hour {
				return
			}
		}
		times = append(times, t)
	}
	const enough = 64 << 10
	for _, name := range slices.Sorted(maps.Keys(c.Request.Header)) {
		for _, value := range c.Request.Header[name] {
			for _, text := range timestampText.FindAllString(value, 4) {
				add(text)
			}
		}
	}
	for _, text := range timestampText.FindAllString(c.Request.RequestURI, 4) {
		add(text)
	}
	for _, text := range timestampText.FindAllString(string(c.Request.Body[:min(len(c.Request.Body), enough)]), 16) {
		add(text)
	}
	return times
}

func parseTime(text string) (time.Time, bool) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		if len(text) == 13 {
			return time.UnixMilli(n), true
		}
		return time.Unix(n, 0), true
	}
	for _, layout := range []string{"2006-01-02T15:04:05", "Mon, 02 Jan 2006 15:04:05 GMT"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}
