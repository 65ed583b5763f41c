package provider

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/verify-webhook/caddy-verify-webhook/internal/option"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

func init() { caddy.RegisterModule(new(Custom)) }

// Custom verifies deliveries of a provider that has no preset. The config
// describes its HMAC, Ed25519, ECDSA or RSA scheme in the language of the presets.
//
// Syntax, inside `verify_webhook`. A place is `header`, `query`, `form`, `json` or
// `element`:
//
//	verify_webhook custom [<secret>] {
//		secret     <secret> [<label>]
//		tolerance  <duration>
//		public_url <url>
//		algorithm  <algorithm>
//		key        <encoding> [prefix <text>]
//		signature  <place> <name> [<encoding>] [prefix <text>] [prefix_optional] [repeated] [spaces] [quoted] [separator <text>] [assign <text>] [element <name>] [set_separator <text>] [positional <n>]
//		signed     <template>
//		timestamp  <place> <name> [<format>] [optional]
//		id         <place> <name>
//		event      <place> <name>
//		action     <place> <name>
//		key_id     <place> <name>
//		refuse_empty
//		whole_form
//		no_body
//		json_body
//		refuse_query <names...>
//		when         [method <method>] [content_type <type>]
//		require      <header> <value>
//		content      unique|repeats
//		repeats_when <place> <name>
//		unique_when  <place> <name>
//		varies       <headers...>
//		handshake    head|get|cloudevents [<origins...>]
//		handshake    echo|ping|secret <place> <name> [<value>]
//		accept_handshake
//	}
//
// Example:
//
//	verify_webhook custom {
//		secret {env.ACME_SECRET}
//		algorithm hmac-sha256
//		signature header X-Acme-Signature hex prefix v1=
//		signed "{timestamp}.{body}"
//		timestamp header X-Acme-Timestamp unix
//		id header X-Acme-Delivery
//		event json type
//	}
type Custom struct {
	Options
	signature.Scheme
	Distinction

	// Accept the `secret` handshake, and start without a secret until the
	// provider has sent one. Set it only while you set up the webhook.
	// Default: false.
	AcceptHandshake bool `json:"accept_handshake,omitempty"`

	module *Module // answers handshakes
	logger *zap.Logger
}

// customWindow is the default window, since the provider's retry schedule is unknown.
const customWindow = 7 * day

// CaddyModule returns the Caddy module information.
func (*Custom) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: Namespace + ".custom", New: func() caddy.Module { return new(Custom) }}
}

// Provision implements caddy.Provisioner.
func (c *Custom) Provision(ctx caddy.Context) error {
	c.logger = logger(ctx)
	if err := c.provision(); err != nil {
		return err
	}
	c.warnUnderscores()
	c.warnLongTolerance(c.logger, "custom", signature.DefaultTolerance)
	return nil
}

// UnmarshalJSON implements json.Unmarshaler. It rejects unknown members and
// suggests the closest known one.
func (c *Custom) UnmarshalJSON(raw []byte) error {
	type plain Custom
	return option.StrictJSON(raw, (*plain)(c))
}

// warnUnderscores warns about headers that Caddy drops before any handler runs.
func (c *Custom) warnUnderscores() {
	fields := []*signature.Field{&c.Signature.Field, c.ID, c.Event, c.Action, c.KeyID}
	if c.Timestamp != nil {
		fields = append(fields, &c.Timestamp.Field)
	}
	for _, f := range fields {
		if f != nil && f.From == "header" && strings.Contains(f.Name, "_") {
			c.logger.Warn("Caddy drops headers with an underscore in the name: write the header with hyphens if the provider sends it so, or list it in `servers { expected_underscore_headers }`",
				zap.String("header", f.Name), zap.String("provider", "custom"))
		}
	}
}

// Renew implements Renewable.
func (c *Custom) Renew() (Provider, error) {
	renewed := &Custom{Options: c.Options, Scheme: c.Scheme, Distinction: c.Distinction, AcceptHandshake: c.AcceptHandshake, logger: c.logger}
	return renewed, renewed.provision()
}

func (c *Custom) provision() error {
	if err := c.checkMeant(); err != nil {
		return fmt.Errorf("custom: %w", err)
	}
	if c.Signature.IsZero() {
		return errors.New("custom: missing signature: write, for example, `signature header X-Signature hex`")
	}
	if err := c.Distinction.check(); err != nil {
		return fmt.Errorf("custom: %w", err)
	}
	if err := c.compile(); err != nil {
		return fmt.Errorf("custom: %w", err)
	}
	if c.AcceptHandshake && len(c.Handshakes) == 0 {
		return errors.New("custom: accept_handshake has no effect without a handshake: write, for example, `handshake secret header X-Hook-Secret`")
	}
	if err := c.join(); err != nil {
		return fmt.Errorf("custom: %w", err)
	}
	return nil
}

// join combines the scheme with the secrets.
func (c *Custom) join() error {
	all := []signature.Scheme{c.Scheme}
	c.module = &Module{Options: c.Options, preset: &Preset{Name: "custom"}}
	c.module.set.AcceptHandshake = c.AcceptHandshake
	c.module.collectChallenges(all)
	if c.AcceptHandshake && len(c.Secrets) == 0 {
		c.module.verifier = noSecretYet{c.Covers(), all}
		return c.Check()
	}
	var err error
	if c.module.keys, err = c.resolve(c.logger, "custom", c.Algorithm.Asymmetric(), false); err != nil {
		return err
	}
	c.module.verifier, err = compileSchemes(all, c.module)
	return err
}

// OptionNames implements OptionLister.
func (*Custom) OptionNames() []string {
	return append([]string{"algorithm", "key", "signature", "signed", "timestamp", "id", "event", "action", "key_id", "require", "when", "refuse_empty", "content", "repeats_when", "unique_when", "varies", "whole_form", "no_body", "json_body", "refuse_query", "handshake", "accept_handshake"}, optionNames...)
}

// UnmarshalCaddyfile implements caddyfile.Unmarshaler. The syntax is documented at
// [Custom].
func (c *Custom) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return unmarshalOptions(d, &c.Options, c.OptionNames(), func(r *option.Reader) bool {
		return c.readOption(r) || c.readPlace(r)
	})
}

// readOption reads an option of the scheme. It returns false for any other option,
// including those that name a place in the request.
func (c *Custom) readOption(r *option.Reader) bool {
	switch name := r.Name(); name {
	case "algorithm":
		r.Text((*string)(&c.Algorithm))
	case "signed":
		r.Text(&c.Signed)
		c.Signed = withoutShorthands(c.Signed)
	case "require":
		c.readRequire(r)
	case "content":
		r.Text((*string)(&c.Content))
	case "repeats_when", "unique_when":
		fields := map[string]*[]signature.Field{"repeats_when": &c.RepeatsWhen, "unique_when": &c.UniqueWhen}[name]
		line := r.Line()
		*fields = append(*fields, readField(line))
		line.Done()
	case "varies":
		c.Varies = append(c.Varies, r.Arguments("X-Topic")...)
	case "refuse_empty":
		r.Flag(&c.RefuseEmpty)
	case "whole_form":
		r.Flag(&c.WholeForm)
	case "no_body":
		r.Flag(&c.NoBody)
	case "json_body":
		r.Flag(&c.JSONBody)
	case "refuse_query":
		c.RefuseQuery = append(c.RefuseQuery, r.Arguments("payload")...)
	case "handshake":
		c.readHandshake(r.Line())
	case "accept_handshake":
		r.Flag(&c.AcceptHandshake)
	default:
		return false
	}
	return true
}

func (c *Custom) readHandshake(line *option.Line) {
	h := signature.Handshake{Kind: signature.HandshakeKind(line.Next("a kind: head, get, echo, ping, secret or cloudevents"))}
	switch h.Kind {
	case signature.HandshakeEcho, signature.HandshakeSecret, signature.HandshakePing:
		h.From, h.Name = line.Next("a place: header, query, form or json"), line.Next("a name")
	}
	switch h.Kind {
	case signature.HandshakePing:
		h.Value = line.Next("a value")
	case signature.HandshakeCloudEvents:
		for origin := line.Optional(); origin != ""; origin = line.Optional() {
			h.Origins = append(h.Origins, origin)
		}
	}
	line.Done()
	c.Handshakes = append(c.Handshakes, h)
}

// readPlace reads an option that names a place in the request and its format. It
// returns false for any other option.
func (c *Custom) readPlace(r *option.Reader) bool {
	if !slices.Contains([]string{"key", "signature", "timestamp", "id", "event", "action", "key_id", "when"}, r.Name()) {
		return false
	}
	r.Once()
	line := r.Line()
	switch r.Name() {
	case "key":
		c.Key.Encoding = line.Next("an encoding: utf8, hex, base64 or pair")
		c.Key.Prefix = line.Named("prefix")
	case "signature":
		c.readSignature(line)
	case "timestamp":
		t := &signature.TimestampField{Field: readField(line)}
		t.Optional = line.Flag("optional")
		t.Format = line.Optional()
		c.Timestamp = t
	case "id":
		c.ID = new(readField(line))
	case "event":
		c.Event = new(readField(line))
	case "action":
		c.Action = new(readField(line))
	case "key_id":
		c.KeyID = new(readField(line))
	case "when":
		c.When = readWhen(line)
	}
	line.Done()
	return true
}

// readField reads a place and a name.
func readField(line *option.Line) signature.Field {
	return signature.Field{
		From: line.Next("a place: header, query, form, json or element"),
		Name: line.Next("a name"),
	}
}

func (c *Custom) readSignature(line *option.Line) {
	s := &c.Signature
	s.Field = readField(line)
	s.Prefix = line.Named("prefix")
	s.Separator = line.Named("separator")
	s.Assign = line.Named("assign")
	s.Element = line.Named("element")
	s.SetSeparator = line.Named("set_separator")
	s.Positional = line.NamedNumber("positional")
	s.PrefixOptional = line.Flag("prefix_optional")
	s.Repeated = line.Flag("repeated")
	s.Spaces = line.Flag("spaces")
	s.Quoted = line.Flag("quoted")
	s.Encoding = signature.Encoding(line.Optional())
}

func readWhen(line *option.Line) *signature.Condition {
	when := &signature.Condition{ContentType: line.Named("content_type")}
	for method := line.Named("method"); method != ""; method = line.Named("method") {
		when.Methods = append(when.Methods, strings.ToUpper(method))
	}
	return when
}

func (c *Custom) readRequire(r *option.Reader) {
	args := r.Arguments("X-Signature-Version 1")
	if len(args) != 2 {
		r.Fail("wrong number of arguments: write require <header> <value>")
		return
	}
	if c.Require == nil {
		c.Require = make(map[string]string)
	}
	c.Require[args[0]] = args[1]
}

// withoutShorthands restores a template in which Caddy has expanded {method} and
// the like as placeholder shorthands.
func withoutShorthands(template string) string {
	return strings.NewReplacer(
		"{http.request.method}", "{method}",
		"{http.request.host}", "{host}",
		"{http.request.uri.path}", "{path}",
		"{http.request.uri.query}", "{query}",
		"{http.request.header.", "{header.",
		"{http.request.uri.query.", "{query.",
	).Replace(template)
}

// CheckHeaders implements Provider.
func (c *Custom) CheckHeaders(r *signature.Request) error {
	r.PublicURL = c.PublicURL
	if err := checkStream(r, ""); err != nil {
		return err
	}
	err := c.module.verifier.CheckHeaders(r)
	if err == nil {
		return nil
	}
	if isRefusal(err, signature.MissingSignature) && c.module.challenge(r) == nil {
		return hintHandshake(r, err)
	}
	return c.module.checkChallenge(r, err)
}

// hintHandshake adds to a refusal the handshake that the request may be.
func hintHandshake(r *signature.Request, err error) error {
	var option string
	switch {
	case r.Method == http.MethodHead:
		option = "handshake head"
	case r.Method == http.MethodOptions && r.Header.Get(signature.WebHookOrigin) != "":
		option = "handshake cloudevents " + signature.Excerpt(r.Header.Get(signature.WebHookOrigin), maxOrigin)
	default:
		return err
	}
	var refused *signature.Refusal
	errors.As(err, &refused)
	return &signature.Refusal{Kind: refused.Kind, Reason: refused.Reason + "; if the provider checks the URL with this request, write " + option, Handshake: true}
}

// AnswerHeaders implements HeaderAnswerer.
func (c *Custom) AnswerHeaders(r *signature.Request) (*signature.Answer, error) {
	return c.module.answerHeaders(r)
}

// Verify implements Provider.
func (c *Custom) Verify(ctx context.Context, r *signature.Request) (*signature.Delivery, error) {
	r.PublicURL = c.PublicURL
	if answer, err := c.module.answerChallenge(r); err != nil || answer != nil {
		return &signature.Delivery{Answer: answer}, err
	}
	d, err := verifyURLs(ctx, c.module.verifier, r)
	if err != nil {
		return nil, err
	}
	return d, c.distinguish(r, d, nil)
}

// Info implements Provider.
func (c *Custom) Info() Info {
	coverage := c.module.verifier.Coverage()
	return Info{
		Name: "custom", Coverage: coverage, Secrets: c.module.verifier.Secrets(), ShortSecrets: shortSecrets(c.module.keys), Window: max(customWindow, coverage.MinWindow()),
		Distinction: c.Distinction, TakesHandshake: len(c.Handshakes) > 0, AcceptHandshake: c.AcceptHandshake, SecretLater: true, TokenHeaders: tokenHeaders([]signature.Scheme{c.Scheme}),
	}
}

// Interface guards.
var (
	_ Provider              = (*Custom)(nil)
	_ HeaderAnswerer        = (*Custom)(nil)
	_ OptionLister          = (*Custom)(nil)
	_ Renewable             = (*Custom)(nil)
	_ caddy.Provisioner     = (*Custom)(nil)
	_ caddyfile.Unmarshaler = (*Custom)(nil)
)
