package external

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

func init() { caddy.RegisterModule(new(Globex)) }

// Globex verifies deliveries of Globex, which signs the body with a key that is
// derived from the secret and the sender's region. This provider is written in code
// because a `signature.Scheme` cannot describe the derivation.
//
// Syntax:
//
//	verify_webhook globex [<secret>] {
//		secret <secret> [<label>]
//		region <name>
//	}
type Globex struct {
	provider.Options

	// The region of the sender. Default: `eu`.
	Region string `json:"region,omitempty"`

	logger *zap.Logger
	region string // after replacing placeholders
	keys   []key
}

// key is the signing key of one secret.
type key struct {
	derived  []byte
	identity signature.Identity
}

// CaddyModule returns the Caddy module information.
func (*Globex) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: provider.Namespace + ".globex", New: func() caddy.Module { return new(Globex) }}
}

// UnmarshalCaddyfile implements caddyfile.Unmarshaler. Its syntax is in the comment
// of [Globex].
func (g *Globex) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return provider.UnmarshalOptions(d, &g.Options, []string{"region"}, func(d *caddyfile.Dispenser) (bool, error) {
		if d.Val() != "region" {
			return false, nil
		}
		if !d.AllArgs(&g.Region) {
			return true, d.ArgErr()
		}
		return true, nil
	})
}

// Provision implements caddy.Provisioner.
func (g *Globex) Provision(ctx caddy.Context) error {
	g.logger = ctx.Logger()
	return g.load()
}

// Renew implements provider.Renewable. verify_webhook calls it when a file that the
// options refer to has changed.
func (g *Globex) Renew() (provider.Provider, error) {
	renewed := &Globex{Options: g.Options, Region: g.Region, logger: g.logger}
	return renewed, renewed.load()
}

// load reads the secrets and replaces the placeholders in other options.
func (g *Globex) load() error {
	g.region = "eu"
	if g.Region != "" {
		var err error
		if g.region, err = provider.Resolve(g.Region); err != nil {
			return fmt.Errorf("globex: region: %w", err)
		}
	}
	secrets, err := g.ResolveSecrets(g.logger, "globex", false)
	if err != nil {
		return err
	}
	for i, secret := range secrets {
		id := secret.Identity()
		if id.Label == "" {
			id.Label = strconv.Itoa(i + 1)
		}
		g.keys = append(g.keys, key{mac(secret.Reveal(), g.region), id})
	}
	return nil
}

// CheckHeaders implements provider.Provider.
func (g *Globex) CheckHeaders(r *signature.Request) error {
	_, err := sent(r)
	return err
}

// sent returns the signature in a request.
func sent(r *signature.Request) ([]byte, error) {
	values := r.Header.Values("X-Globex-Signature")
	if len(values) == 0 {
		return nil, signature.Refuse(signature.MissingSignature, "missing X-Globex-Signature header")
	}
	raw, err := hex.DecodeString(values[0])
	if len(values) > 1 || err != nil || len(raw) != sha256.Size {
		return nil, signature.Refuse(signature.Malformed, "invalid X-Globex-Signature header: expected one HMAC-SHA256 in hex")
	}
	return raw, nil
}

// Verify implements provider.Provider.
func (g *Globex) Verify(_ context.Context, r *signature.Request) (*signature.Delivery, error) {
	want, err := sent(r)
	if err != nil {
		return nil, err
	}
	d := &signature.Delivery{ID: r.Header.Get("X-Globex-Id")}
	for _, k := range g.keys {
		h := hmac.New(sha256.New, k.derived)
		if _, err := r.Body.WriteTo(h); err != nil {
			return nil, err
		}
		sum := h.Sum(nil)
		// The content must not be identified by the signature itself.
		digest := sha256.Sum256(sum)
		match := signature.Match{Secret: k.identity, Digest: digest[:]}
		// Derived under every secret, so that a retry signed with the next
		// secret is recognized.
		d.Contents = append(d.Contents, match)
		if hmac.Equal(sum, want) {
			d.Matches = append(d.Matches, match)
		}
	}
	if len(d.Matches) == 0 {
		return nil, signature.Refuse(signature.InvalidSignature, "signature mismatch: the secret differs, or the body was modified in transit")
	}
	return d, nil
}

// Info implements provider.Provider.
func (g *Globex) Info() provider.Info {
	info := provider.Info{
		Name:        "globex",
		Coverage:    signature.Coverage{HasID: true, BodySigned: true},
		Window:      7 * 24 * time.Hour,
		Weakness:    "no timestamp is signed: a delivery can be replayed after the window",
		Distinction: provider.Distinction{Content: provider.ContentUnique},
	}
	for _, k := range g.keys {
		info.Secrets = append(info.Secrets, k.identity)
	}
	return info
}

// OptionNames implements provider.OptionLister.
func (*Globex) OptionNames() []string { return []string{"secret", "region"} }

func mac(secret []byte, text string) []byte {
	h := hmac.New(sha256.New, secret)
	_, _ = io.WriteString(h, text)
	return h.Sum(nil)
}

// Interface guards.
var (
	_ provider.Provider     = (*Globex)(nil)
	_ provider.Renewable    = (*Globex)(nil)
	_ provider.OptionLister = (*Globex)(nil)
	_ caddy.Provisioner     = (*Globex)(nil)
	_ caddyfile.Unmarshaler = (*Globex)(nil)
)
