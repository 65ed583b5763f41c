// Package catalogue contains the presets: tables of data, and code for the few
// providers that need it. It uses only the exported API of package provider, as other
// repositories do, and registers every preset.
package catalogue

import (
	"slices"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

//go:generate go run ./gendocs ../docs

const (
	day  = 24 * time.Hour
	week = 7 * day
)

func init() { provider.Register(presets()...) }

// presets returns every preset. The tables are in files named after the kind of
// scheme.
func presets() []provider.Preset {
	all := slices.Concat(bodyHMAC, timestamped, standardWebhooks, asymmetric, tokens, urlSigned, forges, tokensJWT, computed, cloudEvents)
	for i := range all {
		p := &all[i]
		p.Kind = kindOf(p.Name)
		p.MaxBody = maxBodies[p.Name]
		p.IssuesSecrets = slices.Contains(issuedSecrets, p.Name)
		p.Signing = signings[p.Name]
		p.Tests = testDeliveries[p.Name]
		p.SecretIsAPIKey = slices.Contains(signWithAPIKeys, p.Name)
		p.Retries, p.Tolerance = retriesOf(p), codedTolerances[p.Name]
		p.Unsupported, p.Streams = unsupported[p.Name], streams[p.Name]
		if p.Hint == nil && len(otherModes[p.Name]) > 0 {
			p.Hint = modeHint
		}
	}
	return all
}

// Distinctions of most presets.
var (
	unique  = provider.Distinction{Content: provider.ContentUnique}
	repeats = provider.Distinction{Content: provider.ContentRepeats}
)

// repeatsWhen is content that repeats if one of these fields is present.
func repeatsWhen(fields ...signature.Field) provider.Distinction {
	return provider.Distinction{Content: provider.ContentUnique, RepeatsWhen: fields}
}

// uniqueWhen is content that is unique only if one of these fields is present.
func uniqueWhen(fields ...signature.Field) provider.Distinction {
	return provider.Distinction{Content: provider.ContentRepeats, UniqueWhen: fields}
}

func inHeader(name string) signature.Field  { return signature.Field{From: "header", Name: name} }
func inQuery(name string) signature.Field   { return signature.Field{From: "query", Name: name} }
func inForm(name string) signature.Field    { return signature.Field{From: "form", Name: name} }
func inJSON(path string) signature.Field    { return signature.Field{From: "json", Name: path} }
func inElement(name string) signature.Field { return signature.Field{From: "element", Name: name} }

// hexIn is a hex signature in a header, after an optional prefix.
func hexIn(header, prefix string) signature.SignatureField {
	return signature.SignatureField{Field: inHeader(header), Prefix: prefix}
}

// base64In is a base64 signature in a header, after an optional prefix.
func base64In(header, prefix string) signature.SignatureField {
	return signature.SignatureField{Field: inHeader(header), Prefix: prefix, Encoding: signature.Base64}
}

// listIn is a header with a list of name=value pairs. element is the name of the pairs
// that contain hex signatures.
func listIn(header, separator, element string) signature.SignatureField {
	return signature.SignatureField{Field: inHeader(header), Separator: separator, Assign: "=", Element: element}
}

// with sets a field of a scheme.
type with func(*signature.Scheme)

// scheme returns a scheme. It signs the body unless an option says otherwise.
func scheme(algorithm signature.Algorithm, sig signature.SignatureField, more ...with) signature.Scheme {
	s := signature.Scheme{Algorithm: algorithm, Signature: sig}
	for _, set := range more {
		set(&s)
	}
	return s
}

// only returns a list of one scheme.
func only(algorithm signature.Algorithm, sig signature.SignatureField, more ...with) []signature.Scheme {
	return []signature.Scheme{scheme(algorithm, sig, more...)}
}

func signed(template string) with { return func(s *signature.Scheme) { s.Signed = template } }
func id(f signature.Field) with   { return func(s *signature.Scheme) { s.ID = &f } }
func event(f signature.Field) with {
	return func(s *signature.Scheme) { s.Event = &f }
}
func action(f signature.Field) with   { return func(s *signature.Scheme) { s.Action = &f } }
func keyID(f signature.Field) with    { return func(s *signature.Scheme) { s.KeyID = &f } }
func refuseEmpty(s *signature.Scheme) { s.RefuseEmpty = true }
func key(encoding, prefix string) with {
	return func(s *signature.Scheme) { s.Key = signature.KeyFormat{Encoding: encoding, Prefix: prefix} }
}

// keyOnly restricts a scheme to secrets with this prefix.
func keyOnly(encoding, prefix string) with {
	return func(s *signature.Scheme) {
		s.Key = signature.KeyFormat{Encoding: encoding, Prefix: prefix, PrefixRequired: true}
	}
}

func require(header, value string) with {
	return func(s *signature.Scheme) {
		if s.Require == nil {
			s.Require = make(map[string]string)
		}
		s.Require[header] = value
	}
}

// wholeForm: the form has no fields other than the signed ones, and no URL parameter
// has the name of one.
func wholeForm(s *signature.Scheme) { s.WholeForm = true }

// noBody: requests of this scheme have no body.
func noBody(s *signature.Scheme) { s.NoBody = true }

// jsonBody: the body is always a JSON object or array.
func jsonBody(s *signature.Scheme)    { s.JSONBody = true }
func when(c signature.Condition) with { return func(s *signature.Scheme) { s.When = &c } }

// answers sets the handshakes that the provider sends.
func answers(handshakes ...signature.Handshake) with {
	return func(s *signature.Scheme) { s.Handshakes = append(s.Handshakes, handshakes...) }
}

// Handshakes of several providers.
var headRequest = signature.Handshake{Kind: signature.HandshakeHead}

// echoes is a GET whose field is echoed as text.
func echoes(f signature.Field) signature.Handshake {
	return signature.Handshake{Kind: signature.HandshakeEcho, From: f.From, Name: f.Name}
}

// ping is an unsigned POST whose field has this value.
func ping(f signature.Field, value string) signature.Handshake {
	return signature.Handshake{Kind: signature.HandshakePing, From: f.From, Name: f.Name, Value: value}
}

// sendsSecret is an unsigned POST with the secret in a field.
func sendsSecret(f signature.Field) signature.Handshake {
	return signature.Handshake{Kind: signature.HandshakeSecret, From: f.From, Name: f.Name}
}

// timestamp sets the place of the signing time and the tolerance in seconds (0: the
// default, 300).
func timestamp(f signature.Field, format string, tolerance int) with {
	return func(s *signature.Scheme) {
		s.Timestamp = &signature.TimestampField{Field: f, Format: format, Tolerance: tolerance}
	}
}
