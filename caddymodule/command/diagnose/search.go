package diagnose

import (
	"encoding/hex"
	"errors"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/internal/signing"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// variant is a delivery, and how it is verified, perhaps with something
// changed.
type variant struct {
	schemes   []signature.Scheme
	secret    string
	header    http.Header
	body      []byte
	publicURL string
}

// change is one thing that may be wrong, and how the delivery would have been
// otherwise. apply must not change what the variant points to.
type change struct {
	Finding
	apply func(variant) variant
}

// search tries variants of one case.
type search struct {
	c          *Case
	inspection *signing.Inspection
	times      []time.Time
	tried      int
	work       int64 // bytes hashed
}

const (
	// maxWork bounds the time that a search takes: a few seconds.
	maxWork = 1 << 30
	// maxTried bounds it for public keys, where each try costs much.
	maxTried = 50_000
	// anyAge is the tolerance of the search: clocks are looked at apart.
	anyAge = 366 * 24 * time.Hour
)

func newSearch(c *Case, inspection *signing.Inspection) *search {
	s := &search{c: c, inspection: inspection}
	s.times = timesIn(c)
	return s
}

// asConfigured is the delivery as it is, with the first secret.
func (s *search) asConfigured() variant {
	v := variant{schemes: s.inspection.Schemes, header: s.c.Request.Header, body: s.c.Request.Body, publicURL: s.c.PublicURL}
	if len(s.c.Secrets) > 0 {
		v.secret = s.c.Secrets[0]
	}
	return v
}

// rightButForTime returns the delivery if a configured secret has signed it.
func (s *search) rightButForTime() *signature.Delivery {
	v := s.asConfigured()
	for _, v.secret = range s.c.Secrets {
		if d := s.verify(v); d != nil {
			return d
		}
	}
	return nil
}

// run returns what explains the refusal, the simplest explanation first.
func (s *search) run() []Finding {
	start := s.asConfigured()
	if !slices.ContainsFunc(start.schemes, func(scheme signature.Scheme) bool { return hasSignature(scheme, start.header) }) {
		return s.missing()
	}
	for _, secret := range append(slices.Clone(s.c.Secrets[min(1, len(s.c.Secrets)):]), s.c.Others...) {
		other := start
		other.secret = secret
		if s.verify(other) != nil {
			return s.wrongSecret(secret)
		}
	}
	groups := [][]change{secretChanges(start, s.c.Others), bodyChanges(start), s.urlChanges(start), signatureChanges(start)}
	for _, group := range groups {
		for _, c := range group {
			if s.verify(c.apply(start)) != nil {
				return []Finding{c.Finding}
			}
		}
	}
	if found := s.pairs(start, groups); len(found) > 0 {
		return found
	}
	return s.guesses()
}

// hasSignature tells whether there is anything where the scheme has its
// signature.
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

func (s *search) exhausted() bool { return s.work > maxWork || s.tried > maxTried }

// verify returns the delivery if a variant verifies, whatever its age.
func (s *search) verify(v variant) *signature.Delivery {
	for _, scheme := range v.schemes {
		if d := s.verifyScheme(scheme, v); d != nil {
			return d
		}
	}
	return nil
}

func (s *search) verifyScheme(scheme signature.Scheme, v variant) *signature.Delivery {
	text, err := s.inspection.KeyText(v.secret)
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
	if !scheme.Applies(r) || !verifier.Present(r) || s.inspection.Prepare(r) != nil {
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

// withSecret returns the secret, and the scheme that takes it. A secret that
// signature.NewSecret refuses, because white space surrounds it, is given to the
// scheme in hex: senders sign with such secrets by mistake.
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

// tolerance is what the handler would have used.
func (s *search) tolerance() time.Duration {
	v := s.asConfigured()
	for _, scheme := range v.schemes {
		text, err := s.inspection.KeyText(v.secret)
		if err != nil {
			continue
		}
		scheme, secret, err := withSecret(scheme, text)
		if err != nil {
			continue
		}
		verifier, err := scheme.Compile([]signature.Secret{secret}, 0)
		if err == nil && verifier.Traits().TimestampSigned {
			return verifier.Traits().Tolerance
		}
	}
	return signature.DefaultTolerance
}

// timestampText finds what may be a time: Unix seconds or milliseconds, RFC
// 3339 and the like, HTTP dates.
var timestampText = regexp.MustCompile(`\b1\d{12}\b|\b1\d{9}\b|\b20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d|[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} 20\d\d \d\d:\d\d:\d\d GMT`)

// timesIn returns every time by which the delivery could be judged, one for
// each year: what it holds itself, and now. More is needed nowhere, because
// the search tolerates a year.
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
