package signature

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// Handshake is a request with which a provider checks a URL before it sends
// deliveries there. It is unsigned, so it is never forwarded.
type Handshake struct {
	// Which request it is, and how it is answered. Required.
	//
	// - `head`: a HEAD; 200 without a body.
	// - `get`: a GET without a signature; 200 without a body.
	// - `echo`: a GET whose parameter or header is sent back as text.
	// - `ping`: a POST without a signature that has a field with a given value;
	//   200 without a body.
	// - `secret`: a POST without a signature in which the provider sends the
	//   secret that it will sign with. The secret is shown to the operator and
	//   never used; a header is sent back. Only with `accept_handshake`.
	// - `cloudevents`: OPTIONS with WebHook-Request-Origin, as HTTP webhooks for
	//   CloudEvents use it; confirmed for the allowed origins.
	Kind HandshakeKind `json:"kind,omitempty"`
	// Where the field is: `header`, `query`, `form` or `json`. Required for
	// `echo`, `ping` and `secret`.
	From string `json:"from,omitempty"`
	// The name of the field. Required for `echo`, `ping` and `secret`.
	Name string `json:"name,omitempty"`
	// The value of the field in a `ping`. Required for `ping`.
	Value string `json:"value,omitempty"`
	// The origins that a `cloudevents` handshake is confirmed for. Default:
	// none.
	Origins []string `json:"origins,omitempty"`
}

// HandshakeKind is the kind of a handshake.
type HandshakeKind string

// The kinds of handshakes.
const (
	HandshakeHead        HandshakeKind = "head"
	HandshakeGet         HandshakeKind = "get"
	HandshakeEcho        HandshakeKind = "echo"
	HandshakePing        HandshakeKind = "ping"
	HandshakeSecret      HandshakeKind = "secret"
	HandshakeCloudEvents HandshakeKind = "cloudevents"
)

// WebHookOrigin is the header with the name of a sender of CloudEvents.
const WebHookOrigin = "WebHook-Request-Origin"

// Field returns where the field of the handshake is.
func (h *Handshake) Field() Field { return Field{From: h.From, Name: h.Name} }

// ReadsBody reports whether the body must be read to know whether a request is
// the handshake.
func (h *Handshake) ReadsBody() bool { return h.From == "form" || h.From == "json" }

// places are the allowed places of each kind's field; nil if the kind has none.
var places = map[HandshakeKind][]string{
	HandshakeHead:        nil,
	HandshakeGet:         nil,
	HandshakeEcho:        {"query", "header"},
	HandshakePing:        {"header", "query", "form", "json"},
	HandshakeSecret:      {"header", "json"},
	HandshakeCloudEvents: nil,
}

func (h *Handshake) check() error {
	allowed, known := places[h.Kind]
	if !known {
		return fmt.Errorf("unrecognized kind: %s; write head, get, echo, ping, secret or cloudevents", h.Kind)
	}
	if allowed == nil && h.Field() != (Field{}) {
		return fmt.Errorf("%s takes no field: remove %s", h.Kind, h.Field())
	}
	if (h.Value != "") != (h.Kind == HandshakePing) {
		return errors.New("a value belongs to ping, which needs one: write, for example, ping header X-Event ping")
	}
	if len(h.Origins) > 0 && h.Kind != HandshakeCloudEvents {
		return errors.New("origins belong to cloudevents: write, for example, cloudevents events.example.com")
	}
	for _, origin := range h.Origins {
		if !isOrigin(origin) {
			return fmt.Errorf("%q is not an origin: write a DNS name, for example events.example.com", origin)
		}
	}
	if allowed == nil {
		return nil
	}
	return h.checkField(allowed)
}

func (h *Handshake) checkField(allowed []string) error {
	for _, place := range allowed {
		if h.From != place {
			continue
		}
		if err := h.Field().check(); err != nil || place != "json" {
			return err
		}
		_, err := NewJSONPaths([]string{h.Name})
		return err
	}
	return fmt.Errorf("%s needs a field: write %s and a name", h.Kind, strings.Join(allowed, " or "))
}

// isOrigin reports whether text is a DNS name, the form of CloudEvents origins.
func isOrigin(text string) bool {
	return text != "" && len(text) <= 253 && !strings.ContainsFunc(text, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '.'
	})
}

// Possible reports whether a request may be the handshake, from its headers and its
// URL. signed is true if it has a signature.
func (h *Handshake) Possible(r *Request, signed bool) bool {
	switch h.Kind {
	case HandshakeHead:
		return r.Method == http.MethodHead
	case HandshakeGet:
		return r.Method == http.MethodGet && !signed
	case HandshakeEcho:
		return r.Method == http.MethodGet && h.present(r)
	case HandshakePing:
		return r.Method == http.MethodPost && !signed && h.mayHold(r)
	case HandshakeSecret:
		return r.Method == http.MethodPost && !signed && (h.ReadsBody() || h.present(r))
	case HandshakeCloudEvents:
		return r.Method == http.MethodOptions && len(r.Header.Values(WebHookOrigin)) > 0
	}
	return false
}

// mayHold reports whether the field can have the value of a ping, according to the
// headers.
func (h *Handshake) mayHold(r *Request) bool {
	switch h.From {
	case "json":
		return true
	case "form":
		return mediaType(r) == "application/x-www-form-urlencoded"
	}
	return h.Holds(r)
}

// present reports whether the header or parameter exists.
func (h *Handshake) present(r *Request) bool {
	if h.From == "header" {
		return len(r.Header.Values(h.Name)) > 0
	}
	return queryOf(r).Has(h.Name)
}

// Holds reports whether the field has the value of a ping.
func (h *Handshake) Holds(r *Request) bool {
	text, err := h.Text(r)
	return err == nil && text == h.Value
}

// Text returns the value of the field, empty if it is missing or duplicate.
func (h *Handshake) Text(r *Request) (string, error) {
	switch h.From {
	case "header":
		return only(r.Header.Values(h.Name)), nil
	case "query":
		return only(queryOf(r)[h.Name]), nil
	case "form":
		form, err := r.Form()
		return only(form[h.Name]), err
	}
	paths, err := NewJSONPaths([]string{h.Name})
	if err != nil {
		return "", err
	}
	found, err := paths.Find(r.Body)
	if err != nil {
		return "", err
	}
	return found[0], nil
}

func only(values []string) string {
	if len(values) != 1 {
		return ""
	}
	return values[0]
}

// Carries reports whether a request has a value where the scheme's signature is,
// if that is a header or a parameter of the URL.
func (s *Scheme) Carries(r *Request) bool {
	f := &s.Signature
	switch f.From {
	case "query":
		return queryOf(r).Has(f.Name)
	case "header":
		if anyValue(r.Header.Values(strings.Replace(f.Name, "#", "1", 1))) {
			return true
		}
		for _, name := range f.Also {
			if anyValue(r.Header.Values(strings.Replace(name, "#", "1", 1))) {
				return true
			}
		}
	}
	return false
}

// queryOf returns the parameters of the request's URL, none if they cannot be
// parsed.
func queryOf(r *Request) url.Values {
	_, raw, _ := strings.Cut(r.RequestURI, "?")
	query, err := ParseQuery(raw)
	if err != nil {
		return nil
	}
	return query
}

// TextAnswer returns text as plain text, which browsers do not render as a page.
func TextAnswer(text string) *Answer {
	return &Answer{
		Status:      http.StatusOK,
		ContentType: "text/plain; charset=utf-8",
		Header:      http.Header{"X-Content-Type-Options": {"nosniff"}, "Content-Security-Policy": {"default-src 'none'; sandbox"}},
		Body:        []byte(text),
	}
}
