package provider

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/provider/keyfetch"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// atlassianSource gets the keys of lifecycle callbacks one by one: each is a
// PEM at a URL that ends in its ID.
// https://developer.atlassian.com/cloud/jira/platform/understanding-jwt-for-connect-apps/
type atlassianSource struct {
	fetcher  *keyfetch.Fetcher
	identity signature.Identity
}

const atlassianKeyHost = "connect-install-keys.atlassian.com"

func atlassianKeys(m *Module) (keySource, error) {
	return m.configuredOr(func() keySource {
		return &atlassianSource{keyfetch.Shared(atlassianKeyHost), keyIdentity(m.preset.Name, m.set.Audience)}
	})
}

var atlassianKeyID = regexp.MustCompile(`^[0-9a-fA-F-]{36}$`)

func (a *atlassianSource) find(ctx context.Context, id string, _ time.Time) (any, signature.Identity, error) {
	if !atlassianKeyID.MatchString(id) {
		return nil, a.identity, signature.Refuse(signature.Malformed, "the token's key ID is none of Atlassian's")
	}
	raw, err := a.fetcher.Get(ctx, keyfetch.Request{URL: "https://" + atlassianKeyHost + "/" + id})
	var status *keyfetch.StatusError
	switch {
	case errors.As(err, &status) && status.Status == 404:
		return nil, a.identity, signature.Refuse(signature.InvalidSignature, "Atlassian does not know the token's key")
	case err != nil:
		return nil, a.identity, fmt.Errorf("getting the key of Atlassian: %w", err)
	}
	public, err := signature.ParsePublicKey(signature.RSASHA256, string(raw))
	if err != nil {
		return nil, a.identity, fmt.Errorf("reading the key of Atlassian: %w", err)
	}
	return public, a.identity, nil
}

func (a *atlassianSource) identities() []signature.Identity { return []signature.Identity{a.identity} }
