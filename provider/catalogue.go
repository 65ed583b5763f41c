package provider

import (
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

const (
	day  = 24 * time.Hour
	week = 7 * day
)

// catalogue is every preset, in alphabetical order. The tables that it is made
// of stand in the files named after the kind of scheme.
var catalogue = assemble(bodyHMAC, timestamped, standardWebhooks, asymmetric, tokens, urlSigned, forges, tokensJWT, coded)

func init() {
	for i := range catalogue {
		caddy.RegisterModule(&Module{preset: &catalogue[i]})
	}
}

// assemble joins tables, fills in what most presets have in common, and sorts. A
// preset that does not say what distinguishes its deliveries panics when the
// program starts.
func assemble(tables ...[]Preset) []Preset {
	all := slices.Concat(tables...)
	for i := range all {
		p := &all[i]
		if err := p.checkDistinctions(); err != nil {
			panic("the preset " + p.Name + ": " + err.Error())
		}
		if p.Window == 0 {
			p.Window = week
		}
		if len(p.Variants) > 1 {
			p.Takes = append([]string{"scheme"}, p.Takes...)
		}
	}
	slices.SortFunc(all, func(a, b Preset) int { return strings.Compare(a.Name, b.Name) })
	for i := 1; i < len(all); i++ {
		if all[i].Name == all[i-1].Name {
			panic("the catalogue has two presets named " + all[i].Name)
		}
	}
	return all
}

// Presets returns every preset, in alphabetical order.
func Presets() []Preset { return slices.Clone(catalogue) }

// Names returns the names of all registered providers, presets or not.
func Names() []string {
	var names []string
	for _, m := range caddy.GetModules(Namespace) {
		names = append(names, strings.TrimPrefix(string(m.ID), Namespace+"."))
	}
	return names
}

func inHeader(name string) signature.Field  { return signature.Field{From: "header", Name: name} }
func inQuery(name string) signature.Field   { return signature.Field{From: "query", Name: name} }
func inForm(name string) signature.Field    { return signature.Field{From: "form", Name: name} }
func inJSON(path string) signature.Field    { return signature.Field{From: "json", Name: path} }
func inElement(name string) signature.Field { return signature.Field{From: "element", Name: name} }

//go:fix inline

// hexIn is a signature in hex in a header, behind a prefix that may be empty.
func hexIn(header, prefix string) signature.SignatureField {
	return signature.SignatureField{Field: inHeader(header), Prefix: prefix}
}

// base64In is a signature in base64 in a header, behind a prefix that may be
// empty.
func base64In(header, prefix string) signature.SignatureField {
	return signature.SignatureField{Field: inHeader(header), Prefix: prefix, Encoding: signature.Base64}
}

// listIn is a header with a list of name=value, in which element is the name
// of the signatures in hex.
func listIn(header, separator, element string) signature.SignatureField {
	return signature.SignatureField{Field: inHeader(header), Separator: separator, Assign: "=", Element: element}
}

// with sets one more thing in a scheme.
type with func(*signature.Scheme)

// scheme is one way to sign, over the body unless something says otherwise.
func scheme(algorithm signature.Algorithm, sig signature.SignatureField, more ...with) signature.Scheme {
	s := signature.Scheme{Algorithm: algorithm, Signature: sig}
	for _, set := range more {
		set(&s)
	}
	return s
}

// only is the list of one scheme.
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

// keyOnly is for secrets that have this prefix; others are not for the scheme.
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

// wholeForm: the signed field is all that the form has, and no parameter of the
// URL has its name.
func wholeForm(name string) with {
	return func(s *signature.Scheme) { s.WholeForm, s.RefuseQuery = true, []string{name} }
}

// noBody: what is signed so has no body.
func noBody(s *signature.Scheme) { s.NoBody = true }

// jsonBody: the body is always a JSON object or array.
func jsonBody(s *signature.Scheme)    { s.JSONBody = true }
func when(c signature.Condition) with { return func(s *signature.Scheme) { s.When = &c } }

// timestamp is where the time of signing stands, with a tolerance in seconds
// (0: the default, 300).
func timestamp(f signature.Field, format string, tolerance int) with {
	return func(s *signature.Scheme) {
		s.Timestamp = &signature.TimestampField{Field: f, Format: format, Tolerance: tolerance}
	}
}
