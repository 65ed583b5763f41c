package diagnose

import (
	"maps"
	"net/http"
	"net/textproto"
	"regexp"
	"slices"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule"
	"github.com/verify-webhook/caddy-verify-webhook/internal/signing"
	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// missing explains which of the headers that the provider sends with every
// delivery are missing. It returns nil if none is.
func (s *search) missing(start variant) []Finding {
	if s.coded() {
		return s.missingComputed()
	}
	if s.report.Outcome == caddymodule.MissingSignature {
		// A misspelled secret can look like one of another scheme, whose
		// signature the request does not have.
		if found := s.single(start, secretChanges(start, s.c.Others)); found != nil {
			return found
		}
		return s.noSignature()
	}
	var lacking []string
	signed := false
	for i := range start.schemes {
		scheme := &start.schemes[i]
		if !hasSignature(*scheme, start.header) || !scheme.Applies(s.request(start)) {
			continue
		}
		signed = true
		names := slices.DeleteFunc(s.requiredHeaders(scheme), func(name string) bool { return start.header.Get(name) != "" })
		if len(names) == 0 {
			return s.keyNotConfigured(scheme)
		}
		lacking = append(lacking, names...)
	}
	if !signed {
		return s.noSignature()
	}
	return s.headerMissing(lacking[0])
}

// requiredHeaders returns the headers beside the signature without which the
// scheme verifies nothing.
func (s *search) requiredHeaders(scheme *signature.Scheme) []string {
	var names []string
	add := func(f *signature.Field) {
		if f != nil && f.From == "header" {
			names = append(names, f.Name)
		}
	}
	if t := scheme.Timestamp; t != nil && !t.Optional && strings.Contains(scheme.Signed, "{timestamp}") {
		add(&t.Field)
	}
	if strings.Contains(scheme.Signed, "{id}") {
		add(scheme.ID)
	}
	for _, match := range signedHeader.FindAllStringSubmatch(scheme.Signed, -1) {
		names = append(names, match[1])
	}
	names = append(names, slices.Sorted(maps.Keys(scheme.Require))...)
	if s.labelled() {
		add(scheme.KeyID)
	}
	return names
}

var signedHeader = regexp.MustCompile(`\{header\.([^}]+)\}`)

// labelled reports whether every secret has a label, so that the provider must
// send its key ID.
func (s *search) labelled() bool {
	return len(s.c.Secrets) > 0 && len(s.c.Labels) >= len(s.c.Secrets) && !slices.Contains(s.c.Labels[:len(s.c.Secrets)], "")
}

// keyNotConfigured explains a request with a key ID that no label matches.
func (s *search) keyNotConfigured(scheme *signature.Scheme) []Finding {
	if scheme.KeyID == nil || scheme.KeyID.From != "header" || !s.labelled() {
		return nil
	}
	named := s.c.Request.Header.Get(scheme.KeyID.Name)
	if named == "" || slices.Contains(s.c.Labels, named) {
		return nil
	}
	return []Finding{{
		Kind:   "key_label",
		Cause:  "the request names the key " + signature.Excerpt(named, 60) + " in " + scheme.KeyID.Name + ", and no secret has that label",
		Change: "write the key ID after its secret, as in `secret {env.NAME} <key>`; if it is another key, configure its secret",
	}}
}

func (s *search) headerMissing(name string) []Finding {
	if found := s.renamedHeader(name); found != nil {
		return found
	}
	return []Finding{{
		Kind:   "header_missing",
		Cause:  "the request has no " + name + ", which the provider sends with every delivery; the secret may be right",
		Change: "let proxies in front forward " + name + "; if the record is incomplete, record the request with all its headers",
	}}
}

// missingComputed explains what the provider's code finds missing, and whether it
// was sent under another name.
func (s *search) missingComputed() []Finding {
	if s.report.Outcome != caddymodule.MissingSignature {
		return nil
	}
	a := s.c.asItCame()
	a.header = make(http.Header)
	was := ""
	for name, values := range s.c.Request.Header {
		proper := textproto.CanonicalMIMEHeaderKey(strings.ReplaceAll(strings.TrimPrefix(strings.ToLower(name), "http_"), "_", "-"))
		if proper != textproto.CanonicalMIMEHeaderKey(name) {
			was = name
		}
		a.header[proper] = values
	}
	if was != "" {
		if tried, err := s.c.judge(s.ctx, a, s.c.judgedAt()); err == nil && tried.Outcome != string(caddymodule.MissingSignature) {
			return renamedFinding(was, textproto.CanonicalMIMEHeaderKey(strings.ReplaceAll(strings.TrimPrefix(strings.ToLower(was), "http_"), "_", "-")))
		}
	}
	if found := s.otherProvider(); found != nil {
		return found
	}
	return []Finding{{
		Kind: "no_signature", Guess: true,
		Cause:  s.report.Reason + ". The request is not from the provider, or a proxy drops the header",
		Change: "let proxies in front forward the header; record the request with all its headers",
	}}
}

// noSignature explains why the signature is missing.
func (s *search) noSignature() []Finding {
	want := make([]string, 0, 2)
	for _, scheme := range s.tooling.Schemes {
		f := scheme.Signature
		if f.From != "header" {
			continue
		}
		for _, name := range append([]string{f.Name}, f.Also...) {
			if name = strings.Replace(name, "#", "1", 1); !slices.Contains(want, name) {
				want = append(want, name)
			}
		}
	}
	for _, name := range want {
		if found := s.weakerHeader(name); found != nil {
			return found
		}
		if found := s.renamedHeader(name); found != nil {
			return found
		}
	}
	if found := s.otherProvider(); found != nil {
		return found
	}
	missing := "no " + strings.Join(want, " or ")
	if len(want) == 0 {
		missing = "no signature where the provider puts it (" + s.tooling.Schemes[0].Signature.Field.String() + ")"
	}
	return []Finding{{
		Kind: "no_signature", Guess: true,
		Cause:  "the request has " + missing + ": it is not from the provider, no secret is set for the webhook there, or a proxy drops it",
		Change: "set a secret for the webhook at the provider; if it has one, let proxies in front forward the header",
	}}
}

// weakerHeader finds a SHA-1 header: GitHub and compatible providers send SHA-1 in
// one header and SHA-256 in another.
func (s *search) weakerHeader(name string) []Finding {
	weaker, ok := strings.CutSuffix(textproto.CanonicalMIMEHeaderKey(name), "-256")
	if !ok || len(s.c.Request.Header.Values(weaker)) == 0 {
		return nil
	}
	return []Finding{{
		Kind:   "sha1_header",
		Cause:  "the request has only " + weaker + ", the signature with SHA-1; " + name + ", with SHA-256, is missing",
		Change: "let proxies in front forward " + name + "; if the sender does not send one (GitHub Enterprise before 2.21, compatible servers), update it. SHA-1 is not accepted instead",
	}}
}

// renamedHeader finds a header whose name was changed in transit.
func (s *search) renamedHeader(name string) []Finding {
	fold := func(text string) string {
		return strings.TrimPrefix(strings.NewReplacer("-", "", "_", "", ".", "").Replace(strings.ToLower(text)), "http")
	}
	for other := range s.c.Request.Header {
		if !strings.EqualFold(other, name) && fold(other) == fold(name) {
			return renamedFinding(other, name)
		}
	}
	return nil
}

func renamedFinding(was, name string) []Finding {
	return []Finding{{
		Kind:   "header_renamed",
		Cause:  "the header " + name + " came as " + signature.Excerpt(was, 60),
		Change: "forward it under its own name; Caddy drops header names with underscores, unless `servers { expected_underscore_headers }` lists them",
	}}
}

// otherProvider finds the provider whose signature the request has.
func (s *search) otherProvider() []Finding {
	var names, headers []string
	for _, p := range provider.Presets() {
		tooling, err := signing.Inspect(p.Name, nil)
		if err != nil || p.Name == s.c.Provider {
			continue
		}
		for _, scheme := range tooling.Schemes {
			f := scheme.Signature
			if f.From == "header" && f.Name != "Authorization" && s.c.Request.Header.Get(f.Name) != "" && !slices.Contains(names, p.Name) {
				names, headers = append(names, p.Name), append(headers, f.Name)
			}
		}
	}
	if len(names) == 0 || len(names) > 5 {
		return nil
	}
	return []Finding{{
		Kind:   "other_provider",
		Cause:  "the request has " + headers[0] + ", the signature header of " + strings.Join(names, ", ") + "",
		Change: "configure that provider for this path, or correct the URL at the provider that sent it",
	}}
}
