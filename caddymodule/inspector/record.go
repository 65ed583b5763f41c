package inspector

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"maps"
	"net/http"
	"net/textproto"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule"
	"github.com/verify-webhook/caddy-verify-webhook/internal/signing"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// record is a captured delivery. It is immutable.
type record struct {
	number uint64
	o      caddymodule.Observation
	// masked are the headers and query parameters with signatures, which are
	// kept to explain refusals and not shown.
	masked places
	// withheld is the reason why a part of the request was not captured, empty
	// if it is complete.
	withheld string
	content  [sha256.Size]byte // hash of the body, zero if it is not complete
	shown    int64             // how many bytes of the body may be shown
	size     int64             // in memory
}

// Limits for one request, in bytes.
const (
	maxHeaders  = 64 << 10
	maxURI      = 8 << 10
	maxIdentity = 1 << 10
	overhead    = 1 << 10 // estimate for everything else
)

// newRecord copies an observation, without what must not be captured.
func newRecord(o caddymodule.Observation) *record {
	r := &record{o: o, masked: secretPlaces(o.Endpoint, o.Provider)}
	r.withholdTokens()
	if o.Body != nil && !o.BodyCut {
		r.content = sha256.Sum256(o.Body)
	}
	r.bound()
	r.size = r.memory()
	return r
}

// withholdTokens removes secrets outside headers. Those in headers were removed
// before.
func (r *record) withholdTokens() {
	if len(r.masked.tokenQuery) > 0 {
		r.o.URI = replaceQuery(r.o.URI, r.masked.tokenQuery, "removed")
	}
	if r.masked.tokenInBody && r.o.Body != nil {
		r.o.Body, r.o.BodyCut = nil, true
		r.withheld = "the body was not captured, because it contains the provider's secret"
	}
}

// bound truncates what is too long.
func (r *record) bound() {
	short := func(text *string, most int) {
		if len(*text) > most {
			*text = strings.ToValidUTF8((*text)[:most], "")
			r.withheld = cmp.Or(r.withheld, "a part of the request was too long to be captured completely")
		}
	}
	short(&r.o.URI, maxURI)
	short(&r.o.Host, maxIdentity)
	short(&r.o.SignedHost, maxIdentity)
	short(&r.o.Method, maxIdentity)
	short(&r.o.ID, maxIdentity)
	short(&r.o.Event, maxIdentity)
	room := maxHeaders
	for _, name := range slices.Sorted(maps.Keys(r.o.Header)) {
		room -= len(name)
		for _, value := range r.o.Header[name] {
			room -= len(value)
		}
		if room < 0 {
			delete(r.o.Header, name)
			r.withheld = cmp.Or(r.withheld, "the headers were too long to be captured completely")
		}
	}
}

// memory estimates the memory of the record.
func (r *record) memory() int64 {
	n := int64(overhead + len(r.o.URI) + len(r.o.Host) + len(r.o.Reason) + len(r.o.ID) + len(r.o.Event) + cap(r.o.Body))
	for name, values := range r.o.Header {
		n += int64(len(name)) + 64
		for _, value := range values {
			n += int64(len(value)) + 16
		}
	}
	return n
}

// sameAs reports whether two deliveries are the same: verified with one key or, if
// one was not verified, with the same content at the same endpoint.
func (r *record) sameAs(other *record) bool {
	if r.o.Endpoint != other.o.Endpoint || r.o.Provider != other.o.Provider {
		return false
	}
	if r.o.Key != "" && other.o.Key != "" {
		return r.o.Key == other.o.Key
	}
	return r.content != [sha256.Size]byte{} && r.content == other.content && len(r.o.Body) > 0
}

// places are the locations of a provider's signatures and secrets.
type places struct {
	headers, query []string // of signatures
	tokenQuery     []string // of the secret itself
	inBody         []string // members with signatures
	tokenInBody    bool
}

// knownPlaces contains the places by provider and config. Requests cannot make it
// grow.
var knownPlaces sync.Map

// secretPlaces returns the places for an endpoint's provider.
func secretPlaces(endpoint, providerName string) (p places) {
	e, ok := caddymodule.FindEndpoint(endpoint, providerName)
	if !ok {
		return p
	}
	key := providerName + "\x00" + string(e.ProviderJSON())
	if known, ok := knownPlaces.Load(key); ok {
		return known.(places)
	}
	defer func() { knownPlaces.Store(key, p) }()
	tooling, err := signing.Inspect(providerName, e.ProviderJSON())
	if err != nil {
		return p
	}
	for i := range tooling.Schemes {
		p.add(&tooling.Schemes[i])
	}
	return p
}

func (p *places) add(s *signature.Scheme) {
	f := s.Signature
	token := s.Algorithm == signature.Token || s.Algorithm == signature.Basic
	switch f.From {
	case "header":
		for _, name := range append([]string{f.Name}, f.Also...) {
			p.headers = append(p.headers, textproto.CanonicalMIMEHeaderKey(strings.Replace(name, "#", "1", 1)))
		}
	case "query":
		if token {
			p.tokenQuery = append(p.tokenQuery, f.Name)
		} else {
			p.query = append(p.query, f.Name)
		}
	default:
		p.tokenInBody = p.tokenInBody || token
		p.inBody = append(p.inBody, f.Name)
	}
}

// secretHeader matches the names of headers whose values are never shown:
// signatures and credentials.
var secretHeader = regexp.MustCompile(`(?i)signature|hmac|token|secret|api-?key|password|credential|^(x-)?(hub-)?sig|-sig$|transmission-sig|^authorization$|cookie`)

// secretQuery is the same for query parameters.
var secretQuery = regexp.MustCompile(`(?i)sign|hmac|token|secret|key|password|auth|^sig$|^code$`)

// mask replaces a value.
const mask = "(masked)"

// shownHeader returns the headers as they may be shown.
func (r *record) shownHeader() http.Header {
	shown := r.o.Header.Clone()
	for name, values := range shown {
		if !secretHeader.MatchString(name) && !slices.Contains(r.masked.headers, textproto.CanonicalMIMEHeaderKey(name)) {
			continue
		}
		for i, value := range values {
			if !strings.HasPrefix(value, caddymodule.RemovedValue) {
				values[i] = mask
			}
		}
	}
	return shown
}

// shownURI returns the URI as it may be shown.
func (r *record) shownURI() string {
	_, query, _ := strings.Cut(r.o.URI, "?")
	var names []string
	for pair := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(pair, "=")
		if plain, err := url.QueryUnescape(name); err == nil && (secretQuery.MatchString(plain) || slices.Contains(r.masked.query, plain)) {
			names = append(names, plain)
		}
	}
	return replaceQuery(r.o.URI, names, "masked")
}

// replaceQuery replaces the values of query parameters, and leaves the rest
// unchanged.
func replaceQuery(uri string, names []string, with string) string {
	path, query, found := strings.Cut(uri, "?")
	if !found || len(names) == 0 {
		return uri
	}
	pairs := strings.Split(query, "&")
	for i, pair := range pairs {
		name, _, hasValue := strings.Cut(pair, "=")
		if plain, err := url.QueryUnescape(name); err == nil && hasValue && slices.Contains(names, plain) {
			pairs[i] = name + "=" + with
		}
	}
	return path + "?" + strings.Join(pairs, "&")
}

// maskBody masks a signature in the body.
func (r *record) maskBody(text string) string {
	for _, name := range r.masked.inBody {
		last := regexp.QuoteMeta(name[strings.LastIndexByte(name, '.')+1:])
		for _, form := range []string{`("` + last + `"\s*:\s*")[^"]*`, `((?:^|&)` + last + `=)[^&]*`} {
			if matches, err := regexp.Compile(form); err == nil {
				text = matches.ReplaceAllString(text, "${1}"+mask)
			}
		}
	}
	return text
}

// Summary is a delivery in the live list.
type Summary struct {
	Number     uint64              `json:"number"`
	Time       time.Time           `json:"time"`
	Endpoint   string              `json:"endpoint"`
	Provider   string              `json:"provider"`
	Method     string              `json:"method"`
	Host       string              `json:"host"`
	Path       string              `json:"path"`
	Outcome    caddymodule.Outcome `json:"outcome"`
	Reason     string              `json:"reason,omitempty"`
	ID         string              `json:"id,omitempty"`
	Event      string              `json:"event,omitempty"`
	Size       int64               `json:"size"` // -1: the body was not read
	AppStatus  int                 `json:"app_status,omitempty"`
	AppTime    float64             `json:"app_ms,omitempty"`
	Response   int                 `json:"response,omitempty"`
	Took       float64             `json:"took_ms"`
	RemoteAddr string              `json:"remote_addr"`
	// Key is the same for copies and retries of one delivery.
	Key string `json:"key,omitempty"`
}

func (r *record) summary() Summary {
	path, _, _ := strings.Cut(r.o.URI, "?")
	return Summary{
		Number: r.number, Time: r.o.Received, Endpoint: r.o.Endpoint, Provider: r.o.Provider,
		Method: clean(r.o.Method), Host: clean(r.o.Host), Path: clean(path), Outcome: r.o.Outcome, Reason: clean(r.o.Reason),
		ID: clean(r.o.ID), Event: clean(r.o.Event), Size: r.o.Size, AppStatus: r.o.Status, AppTime: milliseconds(r.o.AppTime),
		Response: r.o.Response, Took: milliseconds(r.o.Ended.Sub(r.o.Received)), RemoteAddr: r.o.RemoteAddr, Key: r.o.Key,
	}
}

// clean makes a sender's text safe for JSON, lists and terminals.
func clean(text string) string { return signature.Excerpt(text, 200) }

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// detail is the page of a delivery.
type detail struct {
	Summary
	URI      string   `json:"uri"`
	Scheme   string   `json:"scheme"`
	Secret   string   `json:"secret,omitempty"`
	Unsigned string   `json:"unsigned,omitempty"`
	Steps    []step   `json:"steps"`
	Headers  []header `json:"headers"`
	// Body is set if the body is text and was captured.
	Body        string    `json:"body,omitempty"`
	BodyNote    string    `json:"body_note,omitempty"`
	Withheld    string    `json:"withheld,omitempty"`
	Claim       string    `json:"claim,omitempty"`
	CanForget   bool      `json:"can_forget"`
	Explainable bool      `json:"explainable"`
	Same        []Summary `json:"same,omitempty"`
	Queue       any       `json:"queue,omitempty"`
}

type step struct {
	Name  string  `json:"name"`
	After float64 `json:"after_ms"`
}

type header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// detail returns the details that are in the record.
func (r *record) detail() detail {
	d := detail{Summary: r.summary(), URI: r.shownURI(), Scheme: r.o.Scheme, Secret: r.o.Secret, Unsigned: r.o.Unsigned, Withheld: r.withheld, Explainable: explainable(r.o.Outcome)}
	for _, s := range r.o.Steps {
		d.Steps = append(d.Steps, step{s.Name, milliseconds(s.After)})
	}
	shown := r.shownHeader()
	for _, name := range slices.Sorted(maps.Keys(shown)) {
		for _, value := range shown[name] {
			d.Headers = append(d.Headers, header{name, strings.ToValidUTF8(value, "�")})
		}
	}
	d.Body, d.BodyNote = r.shownBody()
	return d
}

// shownBody returns the body as text, and a note about it.
func (r *record) shownBody() (text, note string) {
	switch {
	case r.masked.tokenInBody:
		return "", "not captured, because it contains the provider's secret"
	case r.o.Body == nil && r.o.Size < 0:
		return "", "the request got its response before its body was read"
	case r.shown == 0 && len(r.o.Body) > 0:
		return "", "kept in memory only to explain the refusal, not shown; to see bodies, write bodies in the capture block"
	case r.shown == 0:
		return "", "not captured; to see bodies, write bodies in the capture block"
	case r.o.Body == nil:
		return "", "not captured"
	}
	body := r.o.Body[:min(int64(len(r.o.Body)), r.shown)]
	if r.o.BodyCut || len(body) < len(r.o.Body) {
		note = "only the beginning was captured"
	}
	if bytes.IndexByte(body, 0) >= 0 {
		return "", "it is not text"
	}
	return r.maskBody(strings.ToValidUTF8(string(body), "�")), note
}
