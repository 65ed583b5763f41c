package catalogue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/provider/keyfetch"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// plaidSource fetches Plaid's keys one by one, with the account's credentials.
// https://plaid.com/docs/api/webhooks/webhook-verification/
type plaidSource struct {
	url, clientID, secret string
	fetcher               *keyfetch.Fetcher
	identity              signature.Identity
}

func plaidKeys(m *provider.Module) (keySource, error) {
	static, err := configuredKeys(m)
	if err != nil {
		return nil, err
	}
	if static != nil {
		return static, nil
	}
	if m.Resolved().ClientID == "" || m.Resolved().ClientSecret == "" {
		return nil, errors.New("missing client_id and client_secret to fetch Plaid's keys: write both, or jwks")
	}
	host := "production.plaid.com"
	if m.Resolved().Environment == "sandbox" {
		host = "sandbox.plaid.com"
	}
	return &plaidSource{
		url: "https://" + host + "/webhook_verification_key/get", clientID: m.Resolved().ClientID, secret: m.Resolved().ClientSecret,
		fetcher: keyfetch.Shared(host), identity: keyIdentity("plaid", m.Resolved().ClientID),
	}, nil
}

var plaidKeyID = regexp.MustCompile(`^[0-9a-fA-F-]{36}$`)

func (p *plaidSource) find(ctx context.Context, id string, now time.Time) (any, signature.Identity, error) {
	if !plaidKeyID.MatchString(id) {
		return nil, p.identity, signature.Refuse(signature.Malformed, "the key ID of the token is not one of Plaid's")
	}
	body, err := json.Marshal(map[string]string{"client_id": p.clientID, "secret": p.secret, "key_id": id})
	if err != nil {
		return nil, p.identity, err
	}
	raw, err := p.fetcher.Get(ctx, keyfetch.Request{URL: p.url, Body: body, Key: p.clientID + "\x00" + id})
	var status *keyfetch.StatusError
	switch {
	case errors.As(err, &status) && status.Status == 400:
		return nil, p.identity, signature.Refuse(signature.InvalidSignature, "unknown key: Plaid does not publish it")
	case err != nil:
		return nil, p.identity, fmt.Errorf("fetching Plaid's key: %w", err)
	}
	return p.parse(raw, id, now)
}

func (p *plaidSource) parse(raw []byte, id string, now time.Time) (any, signature.Identity, error) {
	var answer struct {
		Key json.RawMessage `json:"key"`
	}
	var expiry struct {
		Key struct {
			ExpiredAt *int64 `json:"expired_at"`
		} `json:"key"`
	}
	if json.Unmarshal(raw, &answer) != nil || json.Unmarshal(raw, &expiry) != nil {
		return nil, p.identity, errors.New("parsing Plaid's key: not a public key")
	}
	k, err := parseJWK(answer.Key)
	if err != nil {
		return nil, p.identity, fmt.Errorf("parsing Plaid's key: %w", err)
	}
	if k.KeyID != id {
		return nil, p.identity, errors.New("parsing Plaid's key: its ID is different")
	}
	if at := expiry.Key.ExpiredAt; at != nil && now.Unix() > *at {
		return nil, p.identity, signature.Refuse(signature.InvalidSignature, "the key of the token has expired")
	}
	return k.Key, p.identity, nil
}

func (p *plaidSource) identities() []signature.Identity { return []signature.Identity{p.identity} }
