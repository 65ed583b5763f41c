package conformance_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/conformance"
	"github.com/verify-webhook/caddy-verify-webhook/internal/generator"
	"github.com/verify-webhook/caddy-verify-webhook/provider"
)

// An attacker has a delivery that was handled, and sends copies of it that are changed
// in every way that needs no secret: each part of the request alone, and parts
// together. A copy must not be handled again, unless the docs of the preset state that
// it can be: its ID or a header that counts as content is not signed and content
// repeats, or its body is not signed.
func TestChangedCopyIsNotNew(t *testing.T) {
	t.Parallel()
	sent := 0
	for _, p := range provider.Presets() {
		deliveries := accepted(t, p.Name)
		for _, variant := range variantsOf(p) {
			options := ""
			if variant != "" {
				options = fmt.Sprintf(`{"scheme":%q}`, variant)
			}
			deliveries = append(deliveries, generated(t, p.Name, options, "https://hooks.example.com/in/1?a=b%20c", nil))
		}
		for i, v := range deliveries {
			sent += resend(t, p, v, uint64(i))
		}
	}
	for name, form := range customForms {
		v := generated(t, "custom", form.options, "https://hooks.example.com/in/1?a=b%20c&d=e", form.body)
		v.Name = name
		distinction := provider.Distinction{Content: provider.ContentUnique}
		sent += resend(t, provider.Preset{Name: "custom", Distinction: distinction}, v, 0)
	}
	t.Logf("%d copies", sent)
	if sent < 50_000 {
		t.Errorf("only %d copies were sent", sent)
	}
}

func variantsOf(p provider.Preset) []string {
	if len(p.Variants) == 0 {
		return []string{""}
	}
	var names []string
	for _, v := range p.Variants {
		names = append(names, v.Name)
	}
	return names
}

// customForms are the kinds of scheme that `custom` can have: each variable of the
// signed content, each place, encoding and algorithm.
var customForms = map[string]struct {
	options string
	body    []byte
}{
	"body":                 {options: custom(`"algorithm":"hmac-sha256"`, hexSignature, "{body}", "")},
	"base64":               {options: custom(`"algorithm":"hmac-sha1"`, `{"from":"header","name":"X-Sig","encoding":"base64"}`, "{body}", "")},
	"base64url":            {options: custom(`"algorithm":"hmac-sha512"`, `{"from":"header","name":"X-Sig","encoding":"base64url"}`, "{body}", "")},
	"base64url_pad":        {options: custom(`"algorithm":"hmac-sha384"`, `{"from":"header","name":"X-Sig","encoding":"base64url_pad"}`, "{body}", "")},
	"base64_hex":           {options: custom(`"algorithm":"hmac-sha256"`, `{"from":"header","name":"X-Sig","encoding":"base64_hex"}`, "{body}", "")},
	"prefix":               {options: custom(`"algorithm":"hmac-sha256"`, `{"from":"header","name":"X-Sig","prefix":"sha256="}`, "{body}", "")},
	"optional prefix":      {options: custom(`"algorithm":"hmac-sha256"`, `{"from":"header","name":"X-Sig","prefix":"sha256=","prefix_optional":true}`, "{body}", "")},
	"repeated":             {options: custom(`"algorithm":"hmac-sha256"`, `{"from":"header","name":"X-Sig","repeated":true}`, "{body}", "")},
	"also":                 {options: custom(`"algorithm":"hmac-sha256"`, `{"from":"header","name":"X-Sig","also":["X-Sig-2","X-Sig-#"]}`, "{body}", "")},
	"list":                 {options: custom(`"algorithm":"hmac-sha256"`, `{"from":"header","name":"X-Sig","separator":" ","spaces":true}`, "{body}", "")},
	"named list":           {options: custom(`"algorithm":"hmac-sha256"`, namedSignature, "{timestamp}.{body}", elementTime)},
	"quoted list":          {options: custom(`"algorithm":"hmac-sha256"`, `{"from":"header","name":"X-Sig","separator":",","assign":"=","element":"v1","quoted":true}`, "{timestamp}.{body}", elementTime)},
	"sets":                 {options: custom(`"algorithm":"hmac-sha256"`, `{"from":"header","name":"X-Sig","separator":",","assign":"=","element":"v1","set_separator":";"}`, "{timestamp}.{body}", elementTime)},
	"positional":           {options: custom(`"algorithm":"hmac-sha256"`, `{"from":"header","name":"X-Sig","separator":",","positional":1}`, "{element.1}.{timestamp}.{body}", headerTime("unix"))},
	"signature in query":   {options: custom(`"algorithm":"hmac-sha256"`, `{"from":"query","name":"sig"}`, "{body}", "")},
	"signature in JSON":    {options: custom(`"algorithm":"hmac-sha256"`, `{"from":"json","name":"sig"}`, "{json.a}.{id}", `,"id":{"from":"json","name":"id"}`), body: []byte(`{"a":"x","id":"1"}`)},
	"signature in a form":  {options: custom(`"algorithm":"hmac-sha256"`, `{"from":"form","name":"sig"}`, "{form.a}.{id}", `,"id":{"from":"form","name":"id"}`), body: []byte("a=x+y&id=1")},
	"unix":                 {options: custom(`"algorithm":"hmac-sha256"`, hexSignature, "{timestamp}.{body}", headerTime("unix"))},
	"unix_ms":              {options: custom(`"algorithm":"hmac-sha256"`, hexSignature, "{timestamp}.{body}", headerTime("unix_ms"))},
	"rfc3339":              {options: custom(`"algorithm":"hmac-sha256"`, hexSignature, "{timestamp}.{body}", headerTime("rfc3339"))},
	"iso8601":              {options: custom(`"algorithm":"hmac-sha256"`, hexSignature, "{timestamp}.{body}", headerTime("iso8601"))},
	"signed ID":            {options: custom(`"algorithm":"hmac-sha256"`, hexSignature, "{id}.{timestamp}.{body}", headerTime("unix")+`,"id":{"from":"header","name":"X-Id"}`)},
	"ID and time":          {options: custom(`"algorithm":"hmac-sha256"`, hexSignature, "{id}{timestamp}{body}", headerTime("unix")+`,"id":{"from":"header","name":"X-Id"}`)},
	"unsigned ID":          {options: custom(`"algorithm":"hmac-sha256"`, hexSignature, "{body}", `,"id":{"from":"header","name":"X-Id"},"event":{"from":"header","name":"X-Event"}`)},
	"only the ID":          {options: custom(`"algorithm":"hmac-sha256"`, hexSignature, "{id}", `,"id":{"from":"header","name":"X-Id"}`)},
	"varies":               {options: custom(`"algorithm":"hmac-sha256"`, hexSignature, "{body}", `,"action":{"from":"header","name":"X-Action"},"event":{"from":"json","name":"type"}`)},
	"URL and body":         {options: custom(`"algorithm":"hmac-sha256"`, hexSignature, "{url}{body}", "")},
	"body and URL":         {options: custom(`"algorithm":"hmac-sha256"`, hexSignature, "{body}{url}", "")},
	"all of the target":    {options: custom(`"algorithm":"hmac-sha256"`, hexSignature, "{method}{lf}{host}{lf}{path}{lf}{query}{lf}{body}", "")},
	"request target":       {options: custom(`"algorithm":"hmac-sha256"`, hexSignature, "{method} {request_target}{lf}{body_sha256_hex}", "")},
	"hash in base64":       {options: custom(`"algorithm":"hmac-sha256"`, hexSignature, "{header.X-Kind}.{body_sha256_base64}", `,"id":{"from":"header","name":"X-Kind"}`)},
	"hash":                 {options: custom(`"algorithm":"hmac-sha256"`, hexSignature, "{body_sha256}", "")},
	"body in base64":       {options: custom(`"algorithm":"hmac-sha256"`, hexSignature, "{body_base64}", "")},
	"escaped body":         {options: custom(`"algorithm":"hmac-sha256"`, hexSignature, "{body_escaped}", "")},
	"key in the content":   {options: custom(`"algorithm":"hmac-sha256"`, hexSignature, "{key}.{body}.{key}", "")},
	"compressed":           {options: custom(`"algorithm":"hmac-sha256"`, hexSignature, "{body_inflated}", ""), body: []byte(zip(`{"a":"x"}`, 6))},
	"sorted form":          {options: custom(`"algorithm":"hmac-sha256"`, hexSignature, "{form_sorted}", ""), body: []byte("b=2&a=x%20y&c=")},
	"form field":           {options: custom(`"algorithm":"hmac-sha256"`, hexSignature, "{form.payload}", `,"whole_form":true`), body: []byte("payload=%7B%22a%22%3A%22x+y%22%7D")},
	"query parameter":      {options: custom(`"algorithm":"hmac-sha256"`, hexSignature, "{query.d}.{body}", "")},
	"JSON members":         {options: custom(`"algorithm":"hmac-sha256"`, hexSignature, "{json.type}.{json.id}", `,"id":{"from":"json","name":"id"}`), body: []byte(`{"type":"t","id":"1","n":{"x":1}}`)},
	"sha256-prefix":        {options: custom(`"algorithm":"sha256-prefix"`, hexSignature, "{body}", "")},
	"sha256-suffix":        {options: custom(`"algorithm":"sha256-suffix"`, hexSignature, "{body}", "")},
	"sha1-suffix":          {options: custom(`"algorithm":"sha1-suffix"`, hexSignature, "{body}", "")},
	"ed25519":              {options: custom(`"algorithm":"ed25519"`, hexSignature, "{timestamp}{body}", headerTime("unix"))},
	"ecdsa":                {options: custom(`"algorithm":"ecdsa-p256-sha256"`, `{"from":"header","name":"X-Sig","encoding":"base64"}`, "{timestamp}{body}", headerTime("unix"))},
	"ecdsa in a list":      {options: custom(`"algorithm":"ecdsa-p256-sha256"`, `{"from":"header","name":"X-Sig","encoding":"base64","separator":","}`, "{body}", "")},
	"rsa-sha1":             {options: custom(`"algorithm":"rsa-sha1"`, `{"from":"header","name":"X-Sig","encoding":"base64"}`, "{body}", "")},
	"rsa-sha256":           {options: custom(`"algorithm":"rsa-sha256"`, hexSignature, "{body}", "")},
	"rsa-sha512":           {options: custom(`"algorithm":"rsa-sha512"`, hexSignature, "{body}", "")},
	"token":                {options: custom(`"algorithm":"token"`, `{"from":"header","name":"Authorization","prefix":"Bearer "}`, "", "")},
	"token with a JSON ID": {options: custom(`"algorithm":"token"`, `{"from":"header","name":"X-Token"}`, "", `,"id":{"from":"json","name":"id"}`)},
	"basic":                {options: custom(`"algorithm":"basic"`, `{"from":"header","name":"Authorization"}`, "", "")},
}

const (
	hexSignature   = `{"from":"header","name":"X-Sig"}`
	namedSignature = `{"from":"header","name":"X-Sig","separator":",","assign":"=","element":"v1"}`
	elementTime    = `,"timestamp":{"from":"element","name":"t","format":"unix"}`
)

func headerTime(format string) string {
	return `,"timestamp":{"from":"header","name":"X-Time","format":"` + format + `"}`
}

func custom(algorithm, sig, signed, more string) string {
	if signed != "" {
		signed = `,"signed":"` + signed + `"`
	}
	return `{` + algorithm + `,"signature":` + sig + signed + more + `}`
}

// generated returns a delivery with a new key.
func generated(t *testing.T, name, options, address string, body []byte) conformance.Vector {
	t.Helper()
	now := time.Unix(1760000000, 0)
	g, err := generator.New(generator.Options{Provider: name, Options: options, URL: address, Body: body, Exact: body != nil, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatalf("%s %s: %v", name, options, err)
	}
	r, err := g.Make(generator.Genuine, "")
	if err != nil {
		t.Fatalf("%s %s: %v", name, options, err)
	}
	config, err := g.Setup().JSON()
	if err != nil {
		t.Fatal(err)
	}
	q := conformance.Request{Method: r.Method, URL: r.Scheme + "://" + r.Host + r.RequestURI, Headers: r.Header, Body: r.Body.Bytes()}
	return conformance.Vector{Provider: config, Name: "generated " + options, Request: q, Now: now.Unix(), Expect: "accept"}
}

// resend sends a delivery, and then changed copies of it: for the first delivery of a
// preset all changes, for the others a random choice. It returns how many it sent.
func resend(t *testing.T, p provider.Preset, v conformance.Vector, number uint64) (sent int) {
	t.Helper()
	trial := open(t, v)
	first := send(t, trial, v.Request)
	if !first.Reached {
		if v.SentBefore {
			return 0
		}
		t.Fatalf("%s %s: refused: %s, %s", p.Name, v.Name, first.Outcome, first.Reason)
	}
	if first.ReachedHeader.Get("Webhook-Verified-Key") == "" || send(t, trial, v.Request).Reached {
		return 0 // deliveries of this kind cannot be distinguished
	}
	r := rand.New(rand.NewPCG(number, 3))
	all := changes(v.Request)
	try := func(what string, q conformance.Request) {
		sent++
		tried := send(t, trial, q)
		if tried.Reached && !documented(p, v, q, first.ReachedHeader, tried.ReachedHeader) {
			t.Errorf("%s %s: with %s it is handled again", p.Name, v.Name, what)
		}
	}
	for _, c := range all {
		if number == 0 || r.IntN(6) == 0 {
			try(c.what, c.apply(v.Request))
		}
	}
	for range 30 {
		a, b := all[r.IntN(len(all))], all[r.IntN(len(all))]
		try(a.what+" and "+b.what, b.apply(a.apply(v.Request)))
	}
	return sent
}

// documented reports whether the docs of a preset state that such a copy is
// handled again.
func documented(p provider.Preset, v conformance.Vector, q conformance.Request, first, again http.Header) bool {
	unsigned := strings.Split(again.Get("Webhook-Verified-Unsigned"), ", ")
	if slices.Contains(unsigned, "body") && (!bytes.Equal(v.Request.Body, q.Body) || v.Request.URL != q.URL) {
		return true
	}
	if again.Get("Webhook-Verified-Key") == "" {
		return true
	}
	if slices.Contains(unsigned, "id") && first.Get("Webhook-Verified-Id") != again.Get("Webhook-Verified-Id") && mayRepeat(p) {
		return true
	}
	return first.Get("Webhook-Verified-Key") != again.Get("Webhook-Verified-Key") && varied(p, v.Request, q)
}

func mayRepeat(p provider.Preset) bool {
	all := []provider.Distinction{p.Distinction}
	for _, m := range p.Variants {
		if m.Distinction != nil {
			all = append(all, *m.Distinction)
		}
	}
	return slices.ContainsFunc(all, func(d provider.Distinction) bool {
		return d.Content == provider.ContentRepeats || len(d.RepeatsWhen) > 0
	})
}

// varied reports whether two requests differ in a header that counts as content.
func varied(p provider.Preset, a, b conformance.Request) bool {
	all := slices.Clone(p.Distinction.Varies)
	for _, m := range p.Variants {
		if m.Distinction != nil {
			all = append(all, m.Distinction.Varies...)
		}
	}
	one, err := a.HTTP()
	other, err2 := b.HTTP()
	if err != nil || err2 != nil {
		return false
	}
	for _, name := range all {
		for _, family := range append([]string{""}, p.Families...) {
			name := strings.Replace(name, "*", family, 1)
			if !slices.Equal(one.Header.Values(name), other.Header.Values(name)) {
				return true
			}
		}
	}
	return false
}
