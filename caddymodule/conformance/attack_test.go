package conformance_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/conformance"
	"github.com/verify-webhook/caddy-verify-webhook/internal/dryrun"
	"github.com/verify-webhook/caddy-verify-webhook/provider"
)

// The tests in this file are attacks by a sender who has a captured delivery but
// not the secret. They are generated from the vectors of all presets, so that a
// new preset is attacked too.

// attack is a request derived from a genuine one.
type attack struct {
	what    string
	request conformance.Request
}

// open opens the endpoint of a vector.
func open(t *testing.T, v conformance.Vector) *dryrun.Endpoint {
	t.Helper()
	trial, err := v.Open()
	if err != nil {
		t.Fatalf("%s %s: %v", v.ProviderName(), v.Name, err)
	}
	t.Cleanup(trial.Close)
	return trial
}

func send(t *testing.T, trial *dryrun.Endpoint, q conformance.Request) dryrun.Result {
	t.Helper()
	r, err := q.HTTP()
	if err != nil {
		return dryrun.Result{} // not a valid HTTP request
	}
	return trial.Send(r)
}

func clone(q conformance.Request) conformance.Request {
	q.Headers = maps.Clone(q.Headers)
	q.Body = bytes.Clone(q.Body)
	return q
}

func withBody(q conformance.Request, body string) conformance.Request {
	q = clone(q)
	q.Body = []byte(body)
	return q
}

func withHeader(q conformance.Request, name string, values ...string) conformance.Request {
	q = clone(q)
	for have := range q.Headers {
		if strings.EqualFold(have, name) {
			delete(q.Headers, have)
		}
	}
	if len(values) > 0 {
		q.Headers[name] = values
	}
	return q
}

func listsBody(tried dryrun.Result) bool {
	return slices.Contains(strings.Split(tried.ReachedHeader.Get("Webhook-Verified-Unsigned"), ", "), "body")
}

const forged = `{"forged":"EVIL"}`

// bodyAttacks returns requests with a changed body, query or content type.
func bodyAttacks(q conformance.Request) []attack {
	attacks := []attack{
		{"another body", withBody(q, forged)},
		{"a form instead of the body", withHeader(withBody(q, "payload="+url.QueryEscape(forged)), "Content-Type", "application/x-www-form-urlencoded")},
	}
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodDelete, http.MethodPut} {
		get := withBody(q, forged)
		get.Method = method
		attacks = append(attacks, attack{"another body on " + method, get})
		if len(q.Body) > 0 {
			moved := withBody(q, forged)
			moved.Method = method
			moved.URL = joinQuery(q.URL, "payload="+url.QueryEscape(string(q.Body)))
			attacks = append(attacks, attack{"the body in the query of " + method, moved})
		}
	}
	if len(q.Body) == 0 {
		return attacks
	}
	attacks = append(attacks, formAttacks(q)...)
	attacks = append(attacks, jsonAttacks(q)...)
	// Send each form as a query, and each JSON document as a form.
	if form, err := url.ParseQuery(string(q.Body)); err == nil {
		for name, values := range form {
			moved := withBody(q, forged)
			moved.Method = http.MethodGet
			moved.URL = joinQuery(q.URL, url.QueryEscape(name)+"="+url.QueryEscape(values[0]))
			attacks = append(attacks, attack{"the field " + name + " in the query, another body", moved})
		}
	}
	for name := range map[string]bool{"payload": true, "%20payload": true, "data": true} {
		hook := withBody(q, name+"="+url.QueryEscape(string(q.Body))+"&"+name+"x="+url.QueryEscape(forged))
		attacks = append(attacks, attack{"the body as form field " + name + ", with another field", withHeader(hook, "Content-Type", "application/x-www-form-urlencoded")})
	}
	return attacks
}

// formAttacks adds fields that some parsers read instead of the signed ones.
func formAttacks(q conformance.Request) []attack {
	body := string(q.Body)
	if strings.ContainsAny(body[:1], `{["<`) || !strings.Contains(body, "=") {
		return nil
	}
	var attacks []attack
	for pair := range strings.SplitSeq(body, "&") {
		name, _, _ := strings.Cut(pair, "=")
		for _, other := range []string{name, "%20" + name, "+" + name, name + "%00x", name + "[]", name + "[a]", name + "%5B%5D", strings.ToUpper(name), "forged", strings.Replace(name, "_", ".", 1)} {
			field := other + "=" + url.QueryEscape(forged)
			for _, text := range []string{body + "&" + field, field + "&" + body, body + ";" + field, body + "&" + other} {
				attacks = append(attacks, attack{"form " + text[:min(len(text), 40)] + " with " + other, withBody(q, text)})
			}
		}
	}
	for _, charset := range []string{"utf-16", "utf-7", "ibm037"} {
		attacks = append(attacks, attack{"a form in " + charset, withHeader(withBody(q, body+"&forged=1"), "Content-Type", "application/x-www-form-urlencoded; charset="+charset)})
	}
	return attacks
}

// jsonAttacks adds members to the document and to each object in it.
func jsonAttacks(q conformance.Request) []attack {
	body := string(q.Body)
	var attacks []attack
	names := map[string]bool{"forged": true}
	var document any
	if json.Unmarshal(q.Body, &document) == nil {
		memberNames(document, names)
	}
	braces := 0
	for i := range body {
		if body[i] != '{' && body[i] != '}' || braces == 6 {
			continue
		}
		braces++
		for _, name := range slices.Sorted(maps.Keys(names)) {
			for _, other := range []string{name, strings.ToLower(name), strings.ToUpper(name), strings.ToUpper(name[:1]) + name[1:]} {
				text := body[:i+1] + `"` + other + `":"EVIL",` + body[i+1:]
				if body[i] == '}' {
					text = body[:i] + `,"` + other + `":"EVIL"` + body[i:]
				}
				if json.Valid([]byte(text)) {
					attacks = append(attacks, attack{fmt.Sprintf("member %s at %d", other, i), withBody(q, text)})
				}
			}
		}
	}
	for _, text := range []string{body + body, body + forged, "[" + body + "]", "[" + body + "," + body + "]", body + " ", " " + body} {
		attacks = append(attacks, attack{"document " + text[:min(len(text), 30)], withBody(q, text)})
	}
	return append(attacks, itemAttacks(q, document)...)
}

func memberNames(value any, names map[string]bool) {
	switch v := value.(type) {
	case map[string]any:
		for name, inner := range v {
			if name != "" && len(names) < 10 {
				names[name] = true
			}
			memberNames(inner, names)
		}
	case []any:
		for _, inner := range v {
			memberNames(inner, names)
		}
	}
}

// itemAttacks repeats, reverses, adds and removes the items of a list.
func itemAttacks(q conformance.Request, document any) []attack {
	var attacks []attack
	add := func(what string, document any) {
		if text, err := json.Marshal(document); err == nil {
			attacks = append(attacks, attack{what, withBody(q, string(text))})
		}
	}
	variants := func(items []any, put func([]any) any) {
		reversed := slices.Clone(items)
		slices.Reverse(reversed)
		add("items reversed", put(reversed))
		add("items twice", put(slices.Concat(items, items)))
		add("items three times", put(slices.Concat(items, items, items)))
		add("no items", put([]any{}))
		add("an item added", put(append(slices.Clone(items), map[string]any{"forged": true})))
		add("an item before", put(append([]any{map[string]any{"forged": true}}, items...)))
		add("items nested", put([]any{items}))
	}
	if items, ok := document.([]any); ok {
		variants(items, func(items []any) any { return items })
	}
	if object, ok := document.(map[string]any); ok {
		for name, value := range object {
			if items, ok := value.([]any); ok {
				variants(items, func(items []any) any {
					changed := maps.Clone(object)
					changed[name] = items
					return changed
				})
			}
		}
	}
	return attacks
}

func joinQuery(address, query string) string {
	if strings.Contains(address, "?") {
		return address + "&" + query
	}
	return address + "?" + query
}

// TestInvariant13VerifiedCoversAllBytesOfTheBody changes the body of each
// genuine delivery in many ways. The request must be refused, or
// Webhook-Verified-Unsigned must list the body.
func TestInvariant13VerifiedCoversAllBytesOfTheBody(t *testing.T) {
	t.Parallel()
	total := 0
	for _, p := range provider.Presets() {
		for _, v := range accepted(t, p.Name) {
			for _, a := range bodyAttacks(v.Request) {
				total++
				trial, err := v.Open() // a separate store, so that no request is a copy
				if err != nil {
					t.Fatal(err)
				}
				tried := send(t, trial, a.request)
				trial.Close()
				if tried.Reached && !listsBody(tried) && !sameContent(tried.ReachedBody, v.Request.Body) {
					t.Errorf("%s %s: %s is forwarded as verified: %.80q", p.Name, v.Name, a.what, tried.ReachedBody)
				}
				if strings.HasSuffix(tried.ReachedHeader.Get("Webhook-Verified-Id"), "EVIL") && !slices.Contains(strings.Split(tried.ReachedHeader.Get("Webhook-Verified-Unsigned"), ", "), "id") {
					t.Errorf("%s %s: %s: the attacker chose a signed ID", p.Name, v.Name, a.what)
				}
			}
		}
	}
	t.Logf("%d attacks", total)
	if total < 10000 {
		t.Errorf("only %d attacks", total)
	}
}

// sameContent reports whether two bodies have the same content: they may differ in
// white space around the document, and in the form encoding of the only field.
func sameContent(got, want []byte) bool {
	if bytes.Equal(bytes.TrimSpace(got), bytes.TrimSpace(want)) {
		return true
	}
	form, err := url.ParseQuery(string(got))
	return err == nil && len(form) == 1 && form.Get("payload") == string(want)
}

// signatureAttacks removes, repeats and reorders the signatures of a list.
func signatureAttacks(v conformance.Vector, headers []string) []attack {
	var attacks []attack
	add := func(what, name string, values ...string) {
		attacks = append(attacks, attack{what + " in " + name, withHeader(v.Request, name, values...)})
	}
	for name, values := range v.Request.Headers {
		if !slices.Contains(headers, strings.ToLower(name)) && !strings.HasPrefix(strings.ToLower(name), "signature-input") {
			continue
		}
		add("no value", name)
		add("one value twice", name, values[0], values[0])
		for i := range values {
			add("a value less", name, slices.Delete(slices.Clone(values), i, i+1)...)
		}
		for _, separator := range []string{",", " ", ";", ", ", "&"} {
			parts := strings.Split(values[0], separator)
			if len(parts) < 2 {
				continue
			}
			reversed := slices.Clone(parts)
			slices.Reverse(reversed)
			add("parts reversed", name, strings.Join(reversed, separator))
			add("parts twice", name, strings.Join(slices.Concat(parts, parts), separator))
			for i := range parts {
				add("a part less", name, strings.Join(slices.Delete(slices.Clone(parts), i, i+1), separator))
				add("a part twice", name, strings.Join(slices.Insert(slices.Clone(parts), i, parts[i]), separator))
			}
		}
		for what, text := range map[string]string{
			"upper case": strings.ToUpper(values[0]), "lower case": strings.ToLower(values[0]), "white space around": " " + values[0] + "\t",
			"URL-safe base64": strings.NewReplacer("+", "-", "/", "_").Replace(values[0]), "no padding": strings.TrimRight(values[0], "="), "more padding": values[0] + "=",
		} {
			add(what, name, text)
		}
	}
	return attacks
}

// After a delivery was handled, copies with other subsets or orders of its
// signatures must not be accepted as new deliveries.
func TestCopyWithRearrangedSignaturesIsNotNew(t *testing.T) {
	t.Parallel()
	tested := 0
	for _, p := range provider.Presets() {
		headers := signatureHeaders(p)
		for _, v := range accepted(t, p.Name) {
			trial := open(t, v)
			if !send(t, trial, v.Request).Reached || send(t, trial, v.Request).Reached {
				continue // deliveries of this kind cannot be distinguished
			}
			for _, a := range signatureAttacks(v, headers) {
				tested++
				if tried := send(t, trial, a.request); tried.Reached {
					t.Errorf("%s %s: with %s it is accepted as new", p.Name, v.Name, a.what)
				}
			}
		}
	}
	if tested < 1000 {
		t.Errorf("only %d attacks", tested)
	}
}

// The ID and digest of a request must not vary: otherwise each copy would be a new
// delivery.
func TestIdentityOfADeliveryIsStable(t *testing.T) {
	t.Parallel()
	for _, p := range provider.Presets() {
		for _, v := range accepted(t, p.Name) {
			var seen []string
			for range 3 {
				tried := send(t, open(t, v), v.Request)
				seen = append(seen, tried.ReachedHeader.Get("Webhook-Verified-Key")+" "+tried.ReachedHeader.Get("Webhook-Verified-Id"))
			}
			if seen[0] != seen[1] || seen[0] != seen[2] {
				t.Errorf("%s %s: %q", p.Name, v.Name, seen)
			}
		}
	}
}

// If items are signed one by one, an attacker can build a list of handled items. It
// must not be accepted as a new delivery.
func TestListWithRearrangedItemsIsNotNew(t *testing.T) {
	t.Parallel()
	for _, p := range provider.Presets() {
		for _, v := range accepted(t, p.Name) {
			var document any
			if json.Unmarshal(v.Request.Body, &document) != nil || p.Name == "segment" {
				continue
			}
			trial := open(t, v)
			first := send(t, trial, v.Request)
			if !first.Reached || listsBody(first) && p.Name != "adyen" {
				continue // any body is possible, as documented
			}
			if first.ReachedHeader.Get("Webhook-Verified-Key") == "" {
				continue // copies cannot be detected, as documented
			}
			for _, a := range itemAttacks(v.Request, document) {
				if tried := send(t, trial, a.request); tried.Reached {
					t.Errorf("%s %s: with %s it is accepted as new", p.Name, v.Name, a.what)
				}
			}
		}
	}
}

// The docs of a preset whose body is not signed must state what can be forged.
func TestForgeablePartsAreDocumented(t *testing.T) {
	t.Parallel()
	for _, p := range provider.Presets() {
		if p.Name == "rfc9421" {
			continue // documented at the option that turns content-digest off
		}
		weak := p.Weakness
		for _, variant := range p.Variants {
			weak += variant.Weakness
		}
		for _, v := range accepted(t, p.Name) {
			if tried := send(t, open(t, v), v.Request); listsBody(tried) && weak == "" {
				t.Errorf("%s: the body is not signed, but the docs do not state what can be forged", p.Name)
				break
			}
		}
	}
}
