package queue

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/verify-webhook/caddy-verify-webhook/internal/option"
)

func init() { httpcaddyfile.RegisterHandlerDirective("webhook_queue", parse) }

// options are those of the webhook_queue block.
var options = []string{
	"deliver", "answer", "mode", "retry", "give_up", "handled", "stop_on", "concurrency", "timeout", "keep", "max_entries", "max_bytes",
}

// storeOptions belong to the store, which all queues share.
var storeOptions = []string{"queue", "store", "min_free", "prefix", "path"}

// parse reads the directive. Its syntax is in the comment of [Handler].
func parse(helper httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	d := helper.Dispenser
	d.Next() // the directive
	h := new(Handler)
	var err error
	if h.Name, err = option.Argument(d, "name"); err != nil {
		return nil, err
	}
	if err := checkName(h.Name); err != nil {
		return nil, d.WrapErr(err)
	}
	err = option.Block(d, func(o *option.Reader) { h.readOption(o, d, helper) })
	if err != nil {
		return nil, err
	}
	if len(h.Deliver) == 0 {
		return nil, d.Errf("webhook_queue %s: missing deliver: write, for example, deliver { reverse_proxy localhost:5000 }, on three lines", h.Name)
	}
	return h, nil
}

func (h *Handler) readOption(o *option.Reader, d *caddyfile.Dispenser, helper httpcaddyfile.Helper) {
	switch o.Name() {
	case "deliver":
		o.Once()
		o.Keep(h.readDeliver(d, helper))
	case "answer":
		o.Status(&h.Answer)
	case "mode":
		o.Word(&h.Mode, modeAlways, modeWhenDown)
	case "retry":
		o.Durations(&h.Retry, "5s 30s 2m")
	case "give_up":
		o.Duration(&h.GiveUp)
	case "handled":
		o.Statuses(&h.Handled)
	case "stop_on":
		o.Statuses(&h.StopOn)
	case "concurrency":
		var n int64
		o.Count(&n)
		h.Concurrency = int(n)
	case "timeout":
		o.Duration(&h.Timeout)
	case "keep":
		o.Duration(&h.Keep)
	case "max_entries":
		o.Count(&h.MaxEntries)
	case "max_bytes":
		o.Size(&h.MaxBytes)
	default:
		o.Misplaced(storeOptions, "the global option verify_webhook { queue … }")
		o.Unknown(options...)
	}
}

// readDeliver reads the block of deliver, with directives as in `handle`.
func (h *Handler) readDeliver(d *caddyfile.Dispenser, helper httpcaddyfile.Helper) error {
	if args := d.CountRemainingArgs(); args > 0 {
		return d.Err("too many arguments: deliver takes none; write its directives in a block")
	}
	handler, err := httpcaddyfile.ParseSegmentAsSubroute(helper.WithDispenser(d.NewFromNextSegment()))
	if err != nil {
		return err
	}
	subroute, ok := handler.(*caddyhttp.Subroute)
	if !ok || len(subroute.Routes) == 0 {
		return d.Err("deliver is empty: write, for example, reverse_proxy localhost:5000 in it")
	}
	h.Deliver = subroute.Routes
	return nil
}

// Interface guard.
var _ caddy.Module = (*Handler)(nil)
