package inspector

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule"
	"github.com/verify-webhook/caddy-verify-webhook/internal/mask"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// record is a captured delivery. It is immutable.
type record struct {
	number uint64
	o      caddymodule.Observation
	// masked are the headers and query parameters with signatures, which are
	// kept to explain refusals and not shown.
	masked mask.Places
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
	r.o.URI = r.masked.WithoutSecret(r.o.URI)
	if r.masked.SecretInBody() && r.o.Body != nil {
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

// knownPlaces contains the places by provider and config. Requests cannot make it
// grow.
var knownPlaces sync.Map

// secretPlaces returns the places for an endpoint's provider. The running config may
// no longer have the endpoint.
func secretPlaces(endpoint, providerName string) mask.Places {
	e, ok := caddymodule.FindEndpoint(endpoint, providerName)
	if !ok {
		return mask.Unknown()
	}
	key := providerName + "\x00" + string(e.ProviderJSON())
	if known, ok := knownPlaces.Load(key); ok {
		return known.(mask.Places)
	}
	p := mask.Of(providerName, e.ProviderJSON())
	knownPlaces.Store(key, p)
	return p
}

// shownHeader returns the headers as they may be shown.
func (r *record) shownHeader() http.Header {
	return r.masked.Header(r.o.Header, caddymodule.RemovedValue)
}

// shownURI returns the URI as it may be shown.
func (r *record) shownURI() string { return r.masked.URI(r.o.URI) }

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
	case r.masked.SecretInBody():
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
	return r.masked.Body(strings.ToValidUTF8(string(body), "�")), note
}
