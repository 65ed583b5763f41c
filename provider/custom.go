package provider

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

func init() { caddy.RegisterModule(new(Custom)) }

// Custom is any HMAC, Ed25519, ECDSA or RSA scheme, described in the config in
// the same language as the presets.
type Custom struct {
	Options
	signature.Scheme
	Distinction

	schemes *schemes
	logger  *zap.Logger
}

// customWindow is remembered for a provider of whose retries nothing is known.
const customWindow = 7 * day

// CaddyModule returns the Caddy module information.
func (*Custom) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: Namespace + ".custom", New: func() caddy.Module { return new(Custom) }}
}

// Provision implements caddy.Provisioner.
func (c *Custom) Provision(ctx caddy.Context) error {
	c.logger = logger(ctx)
	return c.provision()
}

// Renew implements Renewable.
func (c *Custom) Renew() (Provider, error) {
	renewed := &Custom{Options: c.Options, Scheme: c.Scheme, Distinction: c.Distinction, logger: c.logger}
	return renewed, renewed.provision()
}

func (c *Custom) provision() error {
	if err := c.checkMeant(); err != nil {
		return fmt.Errorf("custom: %w", err)
	}
	if c.Signature.IsZero() {
		return errors.New("custom: nothing says where the signature stands: write, for example, `signature header X-Signature hex`")
	}
	if err := c.Distinction.check(); err != nil {
		return fmt.Errorf("custom: %w", err)
	}
	if err := c.compile(); err != nil {
		return fmt.Errorf("custom: %w", err)
	}
	secrets, err := c.resolve(c.logger, "custom", c.Algorithm.Asymmetric(), false)
	if err != nil {
		return fmt.Errorf("custom: %w", err)
	}
	m := &Module{Options: c.Options, keys: secrets, preset: &Preset{Name: "custom"}}
	if c.schemes, err = compileSchemes([]signature.Scheme{c.Scheme}, m); err != nil {
		return fmt.Errorf("custom: %w", err)
	}
	return nil
}

// OptionNames implements OptionLister.
func (*Custom) OptionNames() []string {
	return append([]string{"algorithm", "key", "signature", "signed", "timestamp", "id", "event", "action", "key_id", "require", "when", "refuse_empty", "content", "repeats_when", "unique_when", "varies", "whole_form", "no_body", "json_body", "refuse_query"}, optionNames...)
}

// UnmarshalCaddyfile implements caddyfile.Unmarshaler. Syntax, beyond the
// options of every provider:
//
//	custom [<secret>] {
//		algorithm <algorithm>
//		key       <encoding> [prefix <text>]
//		signature <place> <name> [<encoding>] [prefix <text>] [prefix_optional] [repeated] [spaces] [separator <text>] [assign <text>] [element <name>] [set_separator <text>] [positional <n>]
//		signed    <template>
//		timestamp <place> <name> [<format>] [optional]
//		id        <place> <name>
//		event     <place> <name>
//		action    <place> <name>
//		key_id    <place> <name>
//		refuse_empty
//		whole_form
//		no_body
//		json_body
//		refuse_query <name>...
//		when      [method <method>] [content_type <type>]
//		require   <header> <value>
//		content   unique|repeats
//		repeats_when <place> <name>
//		unique_when  <place> <name>
//		varies    <header...>
//	}
//
// A place is header, query, form, json or element.
func (c *Custom) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return UnmarshalOptions(d, &c.Options, c.unmarshalSchemeOption)
}

func (c *Custom) unmarshalSchemeOption(d *caddyfile.Dispenser, seen map[string]bool) (bool, error) {
	name := d.Val()
	switch name {
	case "algorithm":
		return true, unmarshalString(d, seen, (*string)(&c.Algorithm))
	case "signed":
		err := unmarshalString(d, seen, &c.Signed)
		c.Signed = withoutShorthands(c.Signed)
		return true, err
	case "require":
		return true, c.unmarshalRequire(d)
	case "content":
		return true, unmarshalString(d, seen, (*string)(&c.Content))
	case "repeats_when", "unique_when":
		fields := map[string]*[]signature.Field{"repeats_when": &c.RepeatsWhen, "unique_when": &c.UniqueWhen}[name]
		a := &arguments{d: d, option: name, rest: d.RemainingArgs()}
		*fields = append(*fields, a.field())
		return true, a.done()
	case "varies":
		names := d.RemainingArgs()
		if len(names) == 0 {
			return true, d.Err("varies needs the names of headers: write, for example, varies X-Topic")
		}
		c.Varies = append(c.Varies, names...)
		return true, nil
	case "refuse_empty":
		return true, unmarshalFlag(d, &c.RefuseEmpty)
	case "whole_form":
		return true, unmarshalFlag(d, &c.WholeForm)
	case "no_body":
		return true, unmarshalFlag(d, &c.NoBody)
	case "json_body":
		return true, unmarshalFlag(d, &c.JSONBody)
	case "refuse_query":
		args := d.RemainingArgs()
		if len(args) == 0 {
			return true, d.Err("refuse_query takes names of parameters: refuse_query payload")
		}
		c.RefuseQuery = append(c.RefuseQuery, args...)
		return true, nil
	case "key", "signature", "timestamp", "id", "event", "action", "key_id", "when":
	default:
		return false, nil
	}
	if err := once(d, seen); err != nil {
		return true, err
	}
	a := &arguments{d: d, option: name, rest: d.RemainingArgs()}
	switch name {
	case "key":
		c.Key.Encoding = a.next("an encoding: utf8, hex or base64")
		c.Key.Prefix = a.named("prefix")
	case "signature":
		c.unmarshalSignature(a)
	case "timestamp":
		t := &signature.TimestampField{Field: a.field()}
		t.Optional = a.flag("optional")
		t.Format = a.optional()
		c.Timestamp = t
	case "id":
		c.ID = new(a.field())
	case "event":
		c.Event = new(a.field())
	case "action":
		c.Action = new(a.field())
	case "key_id":
		c.KeyID = new(a.field())
	case "when":
		c.When = unmarshalWhen(a)
	}
	return true, a.done()
}

func (c *Custom) unmarshalSignature(a *arguments) {
	s := &c.Signature
	s.Field = a.field()
	s.Prefix = a.named("prefix")
	s.Separator = a.named("separator")
	s.Assign = a.named("assign")
	s.Element = a.named("element")
	s.SetSeparator = a.named("set_separator")
	s.Positional = a.namedInt("positional")
	s.PrefixOptional = a.flag("prefix_optional")
	s.Repeated = a.flag("repeated")
	s.Spaces = a.flag("spaces")
	s.Encoding = signature.Encoding(a.optional())
}

func unmarshalWhen(a *arguments) *signature.Condition {
	when := &signature.Condition{ContentType: a.named("content_type")}
	for method := a.named("method"); method != ""; method = a.named("method") {
		when.Methods = append(when.Methods, strings.ToUpper(method))
	}
	return when
}

// unmarshalFlag reads an option without a value.
func unmarshalFlag(d *caddyfile.Dispenser, to *bool) error {
	name := d.Val()
	*to = true
	if d.NextArg() {
		return d.Errf("%s takes no value, but %q follows", name, d.Val())
	}
	return nil
}

func (c *Custom) unmarshalRequire(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) != 2 {
		return d.Err("require takes a header and its value: require X-Signature-Version 1")
	}
	if c.Require == nil {
		c.Require = make(map[string]string)
	}
	c.Require[args[0]] = args[1]
	return nil
}

// withoutShorthands undoes what Caddy does to a template: it takes {method}
// and the like for shorthands of its own placeholders.
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
	return c.schemes.CheckHeaders(r)
}

// Verify implements Provider.
func (c *Custom) Verify(ctx context.Context, r *signature.Request) (*signature.Delivery, error) {
	r.PublicURL = c.PublicURL
	d, err := c.schemes.Verify(ctx, r)
	if err != nil {
		return nil, err
	}
	return d, c.distinguish(r, d, nil)
}

// Facts implements Provider.
func (c *Custom) Facts() Facts {
	traits := c.schemes.Traits()
	return Facts{Name: "custom", Traits: traits, Secrets: c.schemes.Secrets(), Window: max(customWindow, traits.MinWindow()), Distinction: c.Distinction, TokenHeaders: tokenHeaders(c.schemes.all())}
}

// Interface guards.
var (
	_ Provider              = (*Custom)(nil)
	_ OptionLister          = (*Custom)(nil)
	_ Renewable             = (*Custom)(nil)
	_ caddy.Provisioner     = (*Custom)(nil)
	_ caddyfile.Unmarshaler = (*Custom)(nil)
)
