package catalogue

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/internal/signing"
	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// signedRequest is a genuine request of one scheme of a preset.
type signedRequest struct {
	preset  string
	module  *provider.Module
	scheme  signature.Scheme
	request *signature.Request
}

// boundaryBodies are the bodies of the signed requests. The first is JSON, the others
// are forms. They contain separators and text that looks like other signed parts.
var boundaryBodies = []string{
	`{"id":"evt_1","type":"a.b","event_id":"e1","event":"x","data":{"id":"evt_2","type":"c.d","event_id":"e2","event":"y","n":[1,{"type":"1.5"}]},"note":"a.b:c|d\n{\"type\":\"z\"}"}`,
	"payload=%7B%22id%22%3A1%7D&timestamp=1&token=2",
	"payload=%7B%22id%22%3A1%7D",
}

// signedRequests returns a signed request for every scheme that the test signer
// supports.
func signedRequests(t *testing.T) []signedRequest {
	t.Helper()
	var all []signedRequest
	for i := range catalogue {
		p := &catalogue[i]
		options := []string{""}
		if len(p.Variants) > 0 {
			options = nil
			for _, v := range p.Variants {
				options = append(options, v.Name)
			}
		}
		for _, variant := range options {
			for _, body := range boundaryBodies {
				for _, method := range []string{"POST", "GET"} {
					if s, ok := sign(p, variant, method, body); ok {
						all = append(all, s)
					}
				}
			}
		}
	}
	return all
}

// sign returns a signed request. It returns false if no scheme is for this kind of
// request.
func sign(p *provider.Preset, variant, method, body string) (s signedRequest, ok bool) {
	set := provider.PresetOptions{Scheme: variant}
	options, err := json.Marshal(map[string]string{"scheme": variant})
	if err != nil {
		return s, false
	}
	signer, err := signing.OpenSigner(p.Name, options, "", nil)
	if err != nil {
		return s, false
	}
	secret, _ := signer.Configure()
	s = signedRequest{preset: strings.TrimSuffix(p.Name+" "+variant, " "), module: provider.NewModule(p)}
	s.module.PresetOptions = set
	s.module.Secrets = []provider.Secret{{Secret: secret}}
	if err := provision(s.module); err != nil {
		return s, false
	}
	s.request = request(method, "/hooks/in?tenant=1", body, "Content-Type", "application/json")
	if !strings.HasPrefix(body, "{") {
		s.request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if method == "GET" {
		s.request.Body = signature.BytesBody(nil)
	}
	if signer.Sign(s.request, signature.Draft{ID: "delivery-12", Event: "a.b", Time: testNow}) != nil {
		return s, false
	}
	if s.scheme, err = signer.Scheme(s.request); err != nil {
		return s, false
	}
	_, err = s.verify(s.request)
	return s, err == nil
}

// verify verifies a copy of a request as the handler does.
func (s *signedRequest) verify(r *signature.Request) (*signature.Delivery, error) {
	c := *r
	c.Header, c.Values = r.Header.Clone(), nil
	body := c.Body
	c.Body = nil
	if err := s.module.CheckHeaders(&c); err != nil {
		return nil, err
	}
	c.Body = body
	return s.module.Verify(context.Background(), &c)
}

// movable is a part of the signed content whose value can be changed.
type movable struct {
	name  string
	value string
	set   func(r *signature.Request, value string) bool
}

var templatePart = regexp.MustCompile(`\{[^{}]+\}|[^{}]+`)

// parts returns the parts of the signed content. Literals have a nil set.
func (s *signedRequest) parts() []movable {
	signed := s.scheme.Signed
	if signed == "" {
		signed = "{body}"
	}
	var parts []movable
	for _, text := range templatePart.FindAllString(signed, -1) {
		switch {
		case text == "{lf}":
			parts = append(parts, movable{value: "\n"})
		case text[0] != '{':
			parts = append(parts, movable{value: text})
		default:
			parts = append(parts, s.part(strings.Trim(text, "{}")))
		}
	}
	return parts
}

func (s *signedRequest) part(name string) movable {
	m := movable{name: name}
	body, _ := signature.BodyBytes(s.request.Body)
	const origin = "https://hooks.example.com"
	switch name {
	case "body":
		m.value, m.set = string(body), func(r *signature.Request, v string) bool { r.Body = signature.BytesBody(v); return true }
	case "url", "value.url":
		m.value = origin + s.request.RequestURI
		m.set = func(r *signature.Request, v string) bool {
			uri, ok := strings.CutPrefix(v, origin)
			r.RequestURI = uri
			return ok && strings.HasPrefix(uri, "/")
		}
	case "method":
		m.value, m.set = s.request.Method, func(r *signature.Request, v string) bool { r.Method = v; return v != "" }
	case "timestamp":
		return s.field(m, s.scheme.Timestamp.Field)
	case "id":
		return s.field(m, *s.scheme.ID)
	default:
		from, rest, ok := strings.Cut(name, ".")
		if ok {
			return s.field(m, signature.Field{From: from, Name: rest})
		}
	}
	return m
}

func (s *signedRequest) field(m movable, f signature.Field) movable {
	body, _ := signature.BodyBytes(s.request.Body)
	switch f.From {
	case "header":
		m.value, m.set = s.request.Header.Get(f.Name), func(r *signature.Request, v string) bool { r.Header.Set(f.Name, v); return true }
	case "element":
		header, assign := s.scheme.Signature.Name, f.Name+s.scheme.Signature.Assign
		if s.scheme.Signature.Positional > 0 {
			return m // the element has a fixed position
		}
		_, rest, _ := strings.Cut(s.request.Header.Get(header), assign)
		m.value, _, _ = strings.Cut(rest, s.scheme.Signature.Separator)
		old := assign + m.value
		m.set = func(r *signature.Request, v string) bool {
			r.Header.Set(header, strings.Replace(r.Header.Get(header), old, assign+v, 1))
			return true
		}
	case "form", "json":
		found, err := signature.NewJSONPaths([]string{f.Name})
		if err != nil {
			return m
		}
		values, _ := found.Find(s.request.Body)
		if f.From == "form" {
			form, _ := s.request.Form()
			values = []string{form.Get(f.Name)}
		}
		m.value = values[0]
		m.set = func(r *signature.Request, v string) bool {
			text, _ := signature.BodyBytes(r.Body)
			r.Body = signature.BytesBody(bytes.Replace(text, []byte(m.value), []byte(v), 1))
			return !bytes.Equal(text, body) || v != m.value
		}
	}
	return m
}

// TestMovingBytesAcrossABoundaryDoesNotMakeANewDelivery moves the boundary between
// two adjacent parts of the signed content to every other position, for every scheme.
// The request must be refused, or must be the same delivery with the same signed
// values.
func TestMovingBytesAcrossABoundaryDoesNotMakeANewDelivery(t *testing.T) {
	moved, schemes := 0, map[string]bool{}
	for _, s := range signedRequests(t) {
		genuine, err := s.verify(s.request)
		if err != nil {
			t.Fatal(err)
		}
		parts := s.parts()
		for i := range parts {
			j := i + 1
			between := ""
			for j < len(parts) && parts[j].name == "" {
				between += parts[j].value
				j++
			}
			if j >= len(parts) || parts[i].set == nil || parts[j].set == nil {
				continue
			}
			all := parts[i].value + between + parts[j].value
			for k := range len(all) - len(between) + 1 {
				if k == len(parts[i].value) || all[k:k+len(between)] != between {
					continue
				}
				r := *s.request
				r.Header = r.Header.Clone()
				if !parts[i].set(&r, all[:k]) || !parts[j].set(&r, all[k+len(between):]) {
					continue
				}
				moved++
				schemes[s.preset] = true
				s.compare(t, genuine, &r, parts[i].name+"|"+parts[j].name+": "+all[:k]+" | "+all[k+len(between):])
			}
		}
	}
	if moved < 2000 || len(schemes) < 30 {
		t.Errorf("moved only %d boundaries in %d schemes", moved, len(schemes))
	}
}

// compare checks that a request with a moved boundary is refused or is the same
// delivery as the genuine one.
func (s *signedRequest) compare(t *testing.T, genuine *signature.Delivery, r *signature.Request, what string) {
	t.Helper()
	d, err := s.verify(r)
	if err != nil {
		if _, refused := errors.AsType[*signature.Refusal](err); !refused {
			t.Errorf("%s: %s: %v", s.preset, what, err)
		}
		return
	}
	if !bytes.Equal(d.Matches[0].Digest, genuine.Matches[0].Digest) {
		t.Errorf("%s: the digest has changed: %s", s.preset, what)
	}
	if (d.IDSigned && d.ID != genuine.ID) || (d.EventSigned && d.Event != genuine.Event) {
		t.Errorf("%s: ID %q or event type %q has changed: %s", s.preset, d.ID, d.Event, what)
	}
	if s.module.Info().Coverage.BodySigned && s.scheme.Algorithm != signature.Token {
		a, _ := signature.BodyBytes(s.request.Body)
		b, _ := signature.BodyBytes(r.Body)
		if !bytes.Equal(a, b) && json.Valid(a) {
			t.Errorf("%s: a changed body is verified: %s", s.preset, what)
		}
	}
}

// TestBodySignedNextToTheURLMustBeOneJSONDocument: otherwise bytes could move between
// the URL and the body.
func TestBodySignedNextToTheURLMustBeOneJSONDocument(t *testing.T) {
	for name, want := range map[string]bool{
		`{"a":[1,"]}"]}`: true, `[]`: true, " {} \r\n": true, `{"a":"\""}`: true,
		"": false, "1": false, `"a"`: false, `{}{}`: false, `{}x`: false, `{`: false, `{"a":1}}`: false, `{"a`: false, `{\}`: false, `["},{"]"`: false,
	} {
		s := scheme(signature.HMACSHA256, hexIn("X-Sig", ""), signed("{url}{body}"), id(inJSON("id")))
		m := provider.NewModule(&provider.Preset{Name: "test", Schemes: []signature.Scheme{s}})
		m.Secrets = []provider.Secret{{Secret: "k"}}
		if err := provision(m); err != nil {
			t.Fatal(err)
		}
		r := request(http.MethodPost, "/in", name)
		r.Header.Set("X-Sig", hex.EncodeToString(mac(testSecret(t, "k"), r.URL()+name)))
		if _, err := verify(t, m, r); (err == nil) != want {
			t.Errorf("body %q: got %v, want accepted: %t", name, err, want)
		}
	}
}
