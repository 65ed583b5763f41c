// Package mask hides signatures and secrets in recorded requests before they are shown:
// by the inspector, in its exports and by the admin API of queues.
package mask

import (
	"encoding/json"
	"net/http"
	"net/textproto"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/internal/signing"
	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// Places are the locations of a provider's signatures and secrets in a request.
type Places struct {
	headers, query []string // of signatures and of the secret itself
	tokenQuery     []string // of the secret itself
	inBody         []string // members and fields with signatures
	tokenInBody    bool
	unknown        bool
}

// Of returns the places for a provider with these options, in JSON as in the config.
// Providers without a preset have no known places: names decide what is hidden.
func Of(name string, options json.RawMessage) Places {
	tooling, err := signing.Inspect(name, options)
	if err != nil {
		return Places{unknown: name == "custom" || isPreset(name)}
	}
	p := Places{inBody: tooling.SignaturesInBody()}
	for i := range tooling.Schemes {
		p.add(&tooling.Schemes[i])
	}
	return p
}

func isPreset(name string) bool {
	return slices.ContainsFunc(provider.Presets(), func(p provider.Preset) bool { return p.Name == name })
}

// Unknown hides everything that can be a secret. It is for deliveries whose endpoint
// the config no longer has: options can change where the secret is.
func Unknown() Places { return Places{unknown: true} }

// add adds the places of a scheme.
func (p *Places) add(s *signature.Scheme) {
	f := s.Signature
	token := s.Algorithm == signature.Token || s.Algorithm == signature.Basic
	switch f.From {
	case "header":
		for _, name := range append([]string{f.Name}, f.Also...) {
			p.headers = append(p.headers, textproto.CanonicalMIMEHeaderKey(strings.Replace(name, "#", "1", 1)))
		}
	case "query":
		p.query = append(p.query, f.Name)
		if token {
			p.tokenQuery = append(p.tokenQuery, f.Name)
		}
	default:
		p.tokenInBody = p.tokenInBody || token
		p.inBody = append(p.inBody, f.Name[strings.LastIndexByte(f.Name, '.')+1:])
	}
}

// And returns the places of p and q.
func (p Places) And(q Places) Places {
	return Places{
		headers: slices.Concat(p.headers, q.headers), query: slices.Concat(p.query, q.query), tokenQuery: slices.Concat(p.tokenQuery, q.tokenQuery),
		inBody: slices.Concat(p.inBody, q.inBody), tokenInBody: p.tokenInBody || q.tokenInBody, unknown: p.unknown || q.unknown,
	}
}

// SecretInBody reports whether the body can contain the provider's secret.
func (p Places) SecretInBody() bool { return p.tokenInBody || p.unknown }

// secretHeader matches the names of headers whose values are never shown: signatures
// and credentials.
var secretHeader = regexp.MustCompile(`(?i)signature|hmac|hash|token|secret|passcode|api-?key|password|credential|auth|^(x-)?(hub-)?sig|-sig$|transmission-sig|cookie`)

// secretQuery is the same for query parameters.
var secretQuery = regexp.MustCompile(`(?i)sign|hmac|token|secret|key|password|auth|^sig$|^code$`)

// harmlessHeaders are shown whatever the provider is.
var harmlessHeaders = []string{"Accept", "Accept-Encoding", "Content-Encoding", "Content-Length", "Content-Type", "Date", "User-Agent"}

// verifiedHeaders is the prefix of the headers that verify_webhook sets.
const verifiedHeaders = "Webhook-Verified-"

// Masked replaces a value.
const Masked = "(masked)"

// Header returns a copy of h that can be shown. Values that begin with keep have been
// replaced already.
func (p Places) Header(h http.Header, keep string) http.Header {
	shown := h.Clone()
	for name, values := range shown {
		hidden := p.hides(name)
		for i, value := range values {
			switch {
			case strings.HasPrefix(value, keep) && keep != "":
			case hidden:
				values[i] = Masked
			default:
				values[i] = tokens(value)
			}
		}
	}
	return shown
}

func (p Places) hides(name string) bool {
	canonical := textproto.CanonicalMIMEHeaderKey(strings.ReplaceAll(name, "_", "-"))
	if strings.HasPrefix(canonical, verifiedHeaders) || slices.Contains(harmlessHeaders, canonical) && !slices.Contains(p.headers, canonical) {
		return false
	}
	return p.unknown || secretHeader.MatchString(canonical) || slices.Contains(p.headers, canonical)
}

// URI returns a request URI that can be shown.
func (p Places) URI(uri string) string {
	return replaceQuery(tokens(uri), func(name string) bool {
		return p.unknown || secretQuery.MatchString(name) || slices.Contains(p.query, name)
	}, "masked")
}

// WithoutSecret returns a request URI without the provider's secret.
func (p Places) WithoutSecret(uri string) string {
	return replaceQuery(uri, func(name string) bool { return p.unknown || slices.Contains(p.tokenQuery, name) }, "removed")
}

// replaceQuery replaces the values of query parameters, and leaves the rest unchanged.
func replaceQuery(uri string, hidden func(name string) bool, with string) string {
	path, query, found := strings.Cut(uri, "?")
	if !found {
		return uri
	}
	pairs := strings.Split(query, "&")
	for i, pair := range pairs {
		name, _, hasValue := strings.Cut(pair, "=")
		if plain, err := url.QueryUnescape(name); hasValue && (err != nil || hidden(plain)) {
			pairs[i] = name + "=" + with
		}
	}
	return path + "?" + strings.Join(pairs, "&")
}

// Body returns a body that can be shown.
func (p Places) Body(text string) string {
	for _, name := range p.inBody {
		for _, form := range bodyForms {
			if matches, err := regexp.Compile(strings.ReplaceAll(form, "NAME", regexp.QuoteMeta(name))); err == nil {
				text = matches.ReplaceAllString(text, "${1}"+Masked)
			}
		}
	}
	return tokens(text)
}

// bodyForms match the beginning of a field and its value: in JSON, in a form and in a
// multipart form.
var bodyForms = []string{
	`("NAME"\s*:\s*")(?:[^"\\]|\\.)*`,
	`((?:^|&)NAME=)[^&]*`,
	`(;\s*name="NAME"[^\n]*\r?\n(?:[^\r\n]+\r?\n)*\r?\n)[^\r\n]*`,
}

// jws matches a compact JSON Web Signature. The last part is the signature.
var jws = regexp.MustCompile(`(eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*\.)[A-Za-z0-9_-]{16,}`)

// tokens masks the signatures of JSON Web Tokens.
func tokens(text string) string {
	if !strings.Contains(text, "eyJ") {
		return text
	}
	return jws.ReplaceAllString(text, "${1}"+Masked)
}
