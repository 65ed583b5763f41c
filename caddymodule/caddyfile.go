package caddymodule

import (
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
)

func init() {
	httpcaddyfile.RegisterHandlerDirective("verify_webhook", parseHandler)
	httpcaddyfile.RegisterGlobalOption("verify_webhook", parseApp)
}

func parseHandler(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	handler := new(Handler)
	return handler, handler.UnmarshalCaddyfile(h.Dispenser)
}

// handlerOptions are the handler's own options; all others are the provider's.
var handlerOptions = []string{"events", "max_body", "body_timeout", "app_timeout", "mode", "forward_token", "namespace", "replay"}

// UnmarshalCaddyfile implements caddyfile.Unmarshaler. Syntax:
//
//	verify_webhook [<matcher>] <provider> [<secret>] {
//		<provider's options: secret, tolerance, public_url …>
//		events       <patterns...>
//		max_body     <size>
//		body_timeout <duration>
//		app_timeout  <duration>
//		mode         enforce|monitor
//		forward_token
//		namespace    <name>
//		replay [off] {
//			content        unique|repeats
//			store          <type> [<arguments...>]
//			window         <duration>
//			lease          <duration>
//			handled        <statuses...>
//			on_duplicate   <status>
//			on_replay      <status>
//			on_store_error reject|allow
//			wait           <duration>
//			max_waiting    <number>
//		}
//	}
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive
	all := d.NextSegment()
	d = caddyfile.NewDispenser(all)
	d.Next()
	if !d.NextArg() {
		return d.Err("no provider: write its name after verify_webhook, for example: verify_webhook github {env.NAME}")
	}
	name := d.Val()
	module, err := providerModule(d, name)
	if err != nil {
		return err
	}
	segment := providerSegment{head: []caddyfile.Token{d.Token()}}
	for d.NextArg() {
		segment.head = append(segment.head, d.Token())
	}
	if rest := all[1+len(segment.head):]; len(rest) > 0 {
		segment.open, segment.close = rest[0], rest[len(rest)-1]
	}
	known := handlerOptions
	if lister, ok := module.(provider.OptionLister); ok {
		known = append(slices.Clone(known), lister.OptionNames()...)
	} else {
		known = nil // only the provider can tell
	}
	o := &options{d: d}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		switch d.Val() {
		case "events":
			o.once()
			if h.Events = d.RemainingArgs(); len(h.Events) == 0 {
				o.fail("events needs event types: write, for example, events push pull_request.*")
			} else if err := checkEvents(h.Events); err != nil {
				o.fail("%v", err)
			}
		case "max_body":
			o.size(&h.MaxBody)
		case "body_timeout":
			o.duration(&h.BodyTimeout)
		case "app_timeout":
			o.duration(&h.AppTimeout)
		case "mode":
			o.text(&h.Mode)
			if o.err == nil && h.Mode != modeEnforce && h.Mode != modeMonitor {
				o.fail("mode %s is unknown: write enforce or monitor", h.Mode)
			}
		case "forward_token":
			o.flag(&h.ForwardToken)
		case "namespace":
			o.text(&h.Namespace)
		case "replay":
			o.once()
			o.keep(h.Replay.unmarshal(d))
		default:
			if known != nil && !slices.Contains(known, d.Val()) {
				o.misplaced(replayOptions, "the replay block")
				o.unknown(known...)
				break
			}
			segment.option(d)
		}
		if o.err != nil {
			return o.err
		}
	}
	if err := module.UnmarshalCaddyfile(segment.dispenser()); err != nil {
		return err
	}
	h.ProviderRaw = caddyconfig.JSONModuleObject(module, "name", name, nil)
	return nil
}

// keep keeps an error, if it is the first.
func (o *options) keep(err error) {
	if o.err == nil {
		o.err = err
	}
}

// providerModule makes an empty provider of that name.
func providerModule(d *caddyfile.Dispenser, name string) (caddyfile.Unmarshaler, error) {
	info, err := caddy.GetModule(provider.Namespace + "." + name)
	if err != nil {
		names := provider.Names()
		if s := nearest(strings.ToLower(name), names); s != "" {
			return nil, d.Errf("unknown provider %s: did you mean %s?", name, s)
		}
		return nil, d.Errf("unknown provider %s: `caddy list-modules` shows those there are; `custom` describes any other", name)
	}
	module, ok := info.New().(caddyfile.Unmarshaler)
	if !ok {
		return nil, d.Errf("the provider %s cannot be set up in a Caddyfile: use JSON", name)
	}
	return module, nil
}

// providerSegment gathers what is the provider's out of our segment: its name
// and secret, and, in our braces, its options.
type providerSegment struct {
	head        []caddyfile.Token
	options     []caddyfile.Token
	open, close caddyfile.Token // our own braces: so lines in errors are right
}

// option takes the option that d stands on, with its arguments and its block.
func (s *providerSegment) option(d *caddyfile.Dispenser) {
	s.options = append(s.options, d.NextSegment()...)
}

// dispenser returns the segment as if it had been written on its own.
func (s *providerSegment) dispenser() *caddyfile.Dispenser {
	if len(s.options) == 0 {
		return caddyfile.NewDispenser(s.head)
	}
	return caddyfile.NewDispenser(slices.Concat(s.head, []caddyfile.Token{s.open}, s.options, []caddyfile.Token{s.close}))
}

// replayOptions are the options of the replay block.
var replayOptions = []string{"content", "store", "window", "lease", "handled", "on_duplicate", "on_replay", "on_store_error", "wait", "max_waiting"}

func (r *Replay) unmarshal(d *caddyfile.Dispenser) error {
	if d.NextArg() {
		if d.Val() != "off" || d.NextArg() {
			return d.Errf("replay %s: write replay off, or its options in a block", d.Val())
		}
		r.Off = true
	}
	o := &options{d: d}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		switch d.Val() {
		case "store":
			o.once()
			raw, err := unmarshalStore(d)
			o.keep(err)
			r.StoreRaw = raw
		case "content":
			o.text((*string)(&r.Content))
			if o.err == nil && r.Content != provider.ContentUnique && r.Content != provider.ContentRepeats {
				o.fail("unrecognized content: %s; write unique or repeats", r.Content)
			}
		case "window":
			o.duration(&r.Window)
		case "lease":
			o.duration(&r.Lease)
		case "handled":
			o.statuses(&r.Handled)
		case "on_duplicate":
			o.status(&r.OnDuplicate)
		case "on_replay":
			o.status(&r.OnReplay)
		case "on_store_error":
			o.text(&r.OnStoreError)
			if o.err == nil && r.OnStoreError != "reject" && r.OnStoreError != "allow" {
				o.fail("on_store_error %s is unknown: write reject or allow", r.OnStoreError)
			}
		case "wait":
			o.duration(&r.Wait)
		case "max_waiting":
			var n int64
			o.count(&n)
			r.MaxWaiting = int(n)
		default:
			o.misplaced(handlerOptions, "the block around replay")
			o.unknown(replayOptions...)
		}
		if o.err != nil {
			return o.err
		}
	}
	return nil
}

// unmarshalStore reads `store <type> …` and returns the store's JSON.
func unmarshalStore(d *caddyfile.Dispenser) ([]byte, error) {
	if !d.NextArg() {
		return nil, d.Err("store needs a type: write, for example, store memory")
	}
	name := d.Val()
	if _, err := caddy.GetModule(StoreNamespace + "." + name); err != nil {
		var names []string
		for _, m := range caddy.GetModules(StoreNamespace) {
			names = append(names, m.ID.Name())
		}
		if s := nearest(name, names); s != "" {
			return nil, d.Errf("unknown store %s: did you mean %s?", name, s)
		}
		return nil, d.Errf("unknown store %s: write one of %s", name, strings.Join(names, ", "))
	}
	u, err := caddyfile.UnmarshalModule(d, StoreNamespace+"."+name)
	if err != nil {
		return nil, err
	}
	return caddyconfig.JSONModuleObject(u, "type", name, nil), nil
}

// parseApp reads the global option. Syntax:
//
//	{
//		verify_webhook {
//			store       <type> [<arguments...>]
//			body_memory <size>
//			body_disk   <size>
//		}
//	}
func parseApp(d *caddyfile.Dispenser, existing any) (any, error) {
	app := new(App)
	d.Next() // the option
	if existing != nil {
		return nil, d.Err("the global option verify_webhook stands there twice: keep one")
	}
	if d.NextArg() {
		return nil, d.Err("the global option verify_webhook takes no argument: its options stand in a block")
	}
	o := &options{d: d}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		switch d.Val() {
		case "store":
			o.once()
			raw, err := unmarshalStore(d)
			o.keep(err)
			app.StoreRaw = raw
		case "body_memory":
			o.size(&app.BodyMemory)
		case "body_disk":
			o.size(&app.BodyDisk)
		default:
			o.unknown("store", "body_memory", "body_disk")
		}
		if o.err != nil {
			return nil, o.err
		}
	}
	return httpcaddyfile.App{Name: appID, Value: caddyconfig.JSON(app, nil)}, nil
}

// Interface guards.
var _ caddyfile.Unmarshaler = (*Handler)(nil)
