package caddymodule

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/verify-webhook/caddy-verify-webhook/internal/option"
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

// handlerOptions lists the handler's own options. All others are the provider's.
var handlerOptions = []string{"events", "max_body", "body_timeout", "app_timeout", "mode", "forward_token", "namespace", "replay"}

// UnmarshalCaddyfile implements caddyfile.Unmarshaler. For the syntax, see
// [Handler].
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive
	all := d.NextSegment()
	d = caddyfile.NewDispenser(all)
	d.Next()
	begin := d.Token()
	if !d.NextArg() {
		return d.Err("missing provider: write, for example, verify_webhook github {env.NAME}")
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
		known = nil // only the provider knows its options
	}
	err = option.Block(d, func(o *option.Reader) {
		if h.readOption(o, d) {
			return
		}
		if known != nil && !slices.Contains(known, o.Name()) {
			o.Misplaced(replayOptions, "the replay block")
			o.Unknown(known...)
			return
		}
		segment.option(d)
	})
	if err != nil {
		return err
	}
	if err := module.UnmarshalCaddyfile(segment.dispenser()); err != nil {
		return err
	}
	h.ProviderRaw = caddyconfig.JSONModuleObject(module, "name", name, nil)
	sources.remember(h, begin)
	return nil
}

// readOption reads one of the handler's own options. It returns false for any
// other option.
func (h *Handler) readOption(o *option.Reader, d *caddyfile.Dispenser) bool {
	switch o.Name() {
	case "events":
		o.Once()
		h.Events = o.Arguments("push pull_request.*")
		if err := checkEvents(h.Events); err != nil {
			o.Fail("%v", err)
		}
	case "max_body":
		o.Size(&h.MaxBody)
	case "body_timeout":
		o.Duration(&h.BodyTimeout)
	case "app_timeout":
		o.Duration(&h.AppTimeout)
	case "mode":
		o.Word(&h.Mode, modeEnforce, modeMonitor)
	case "forward_token":
		o.Flag(&h.ForwardToken)
	case "namespace":
		o.Text(&h.Namespace)
	case "replay":
		o.Once()
		o.Keep(h.Replay.unmarshal(d))
	default:
		return false
	}
	return true
}

// providerModule returns a new provider of that name, without options.
func providerModule(d *caddyfile.Dispenser, name string) (caddyfile.Unmarshaler, error) {
	info, err := caddy.GetModule(provider.Namespace + "." + name)
	if err != nil {
		names := provider.Names()
		if s := option.Nearest(strings.ToLower(name), names); s != "" {
			return nil, d.Errf("unrecognized provider: %s; did you mean %s?", option.Shown(name), s)
		}
		return nil, d.Errf("unrecognized provider: %s; `caddy list-modules` lists them, and `custom` describes any other", option.Shown(name))
	}
	module, ok := info.New().(caddyfile.Unmarshaler)
	if !ok {
		return nil, d.Errf("the provider %s cannot be set up in a Caddyfile: use JSON", name)
	}
	return module, nil
}

// providerSegment collects the provider's part of our segment: its name and
// secret, and its options in our block.
type providerSegment struct {
	head        []caddyfile.Token
	options     []caddyfile.Token
	open, close caddyfile.Token // our own braces, so that lines in errors are right
}

// option adds the option at d, with its arguments and its block.
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
	switch args := d.RemainingArgs(); {
	case len(args) == 1 && args[0] == "off":
		r.Off = true
	case len(args) > 0:
		return d.Errf("unrecognized argument: %s; write replay off, or options in a block", option.Shown(strings.Join(args, " ")))
	}
	return option.Block(d, func(o *option.Reader) {
		switch o.Name() {
		case "store":
			readStore(o, d, replayStores, &r.StoreRaw)
		case "content":
			o.Word((*string)(&r.Content), string(provider.ContentUnique), string(provider.ContentRepeats))
		case "window":
			o.Duration(&r.Window)
		case "lease":
			o.Duration(&r.Lease)
		case "handled":
			o.Statuses(&r.Handled)
		case "on_duplicate":
			o.Status(&r.OnDuplicate)
			if err := checkStatus("on_duplicate", r.OnDuplicate); err != nil && !o.Failed() {
				o.Fail("%v", err)
			}
		case "on_replay":
			o.Status(&r.OnReplay)
			if err := checkStatus("on_replay", r.OnReplay); err != nil && !o.Failed() {
				o.Fail("%v", err)
			}
		case "on_store_error":
			o.Word(&r.OnStoreError, "reject", "allow")
		case "wait":
			o.Duration(&r.Wait)
		case "max_waiting":
			var n int64
			o.Count(&n)
			r.MaxWaiting = int(n)
		default:
			o.Misplaced(handlerOptions, "the verify_webhook block, outside replay")
			o.Unknown(replayOptions...)
		}
	})
}

// storeKind describes an option whose argument is a module in a namespace.
type storeKind struct{ option, namespace, example string }

var (
	replayStores = storeKind{"store", StoreNamespace, "memory"}
	queueStores  = storeKind{"queue", QueueNamespace, "file"}
)

func readStore(o *option.Reader, d *caddyfile.Dispenser, kind storeKind, to *json.RawMessage) {
	o.Once()
	raw, err := kind.unmarshal(d)
	o.Keep(err)
	*to = raw
}

// unmarshal reads `<option> <type> …` and returns the module's JSON.
func (k storeKind) unmarshal(d *caddyfile.Dispenser) ([]byte, error) {
	if !d.NextArg() {
		return nil, d.Errf("missing %s type: write, for example, %[1]s %s", k.option, k.example)
	}
	name := d.Val()
	if _, err := caddy.GetModule(k.namespace + "." + name); err != nil {
		var names []string
		for _, m := range caddy.GetModules(k.namespace) {
			names = append(names, m.ID.Name())
		}
		if s := option.Nearest(name, names); s != "" {
			return nil, d.Errf("unrecognized %s: %s; did you mean %s?", k.option, option.Shown(name), s)
		}
		return nil, d.Errf("unrecognized %s: %s; write one of %s", k.option, option.Shown(name), strings.Join(names, ", "))
	}
	u, err := caddyfile.UnmarshalModule(d, k.namespace+"."+name)
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
//			queue       <type> [<arguments...>]
//			body_memory <size>
//			body_disk   <size>
//		}
//	}
func parseApp(d *caddyfile.Dispenser, existing any) (any, error) {
	app := new(App)
	d.Next() // the option
	if existing != nil {
		return nil, d.Err("duplicate option: verify_webhook; write the global option once")
	}
	if d.NextArg() {
		return nil, d.Err("too many arguments: expected none after the global option verify_webhook; options go in a block")
	}
	err := option.Block(d, func(o *option.Reader) {
		switch o.Name() {
		case "store":
			readStore(o, d, replayStores, &app.StoreRaw)
		case "queue":
			readStore(o, d, queueStores, &app.QueueRaw)
		case "body_memory":
			o.Size(&app.BodyMemory)
		case "body_disk":
			o.Size(&app.BodyDisk)
		default:
			o.Unknown("store", "queue", "body_memory", "body_disk")
		}
	})
	if err != nil {
		return nil, err
	}
	return httpcaddyfile.App{Name: appID, Value: caddyconfig.JSON(app, nil)}, nil
}

// Interface guards.
var _ caddyfile.Unmarshaler = (*Handler)(nil)
