package catalogue

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/provider/keyfetch"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// atlassianSource fetches the keys of lifecycle callbacks one by one. Each is a PEM at
// a URL that ends with its ID.
// https://developer.atlassian.com/cloud/jira/platform/understanding-jwt-for-connect-apps/
type atlassianSource struct {
	fetcher  *keyfetch.Fetcher
	identity signature.Identity
}

const atlassianKeyHost = "connect-install-keys.atlassian.com"

func atlassianKeys(m *provider.Module) (keySource, error) {
	return configuredOr(m, func() keySource {
		return &atlassianSource{keyfetch.Shared(atlassianKeyHost), keyIdentity(m.Name(), m.Resolved().Audience)}
	})
}

var atlassianKeyID = regexp.MustCompile(`^[0-9a-fA-F-]{36}$`)

func (a *atlassianSource) find(ctx context.Context, id string, _ time.Time) (any, signature.Identity, error) {
	if !atlassianKeyID.MatchString(id) {
		return nil, a.identity, signature.Refuse(signature.Malformed, "the key ID of the token is not one of Atlassian's")
	}
	raw, err := a.fetcher.Get(ctx, keyfetch.Request{URL: "https://" + atlassianKeyHost + "/" + id})
	var status *keyfetch.StatusError
	switch {
	case errors.As(err, &status) && status.Status == 404:
		return nil, a.identity, signature.Refuse(signature.InvalidSignature, "unknown key: Atlassian does not publish it")
	case err != nil:
		return nil, a.identity, fmt.Errorf("fetching Atlassian's key: %w", err)
	}
	public, err := signature.ParsePublicKey(signature.RSASHA256, string(raw))
	if err != nil {
		return nil, a.identity, fmt.Errorf("parsing Atlassian's key: %w", err)
	}
	return public, a.identity, nil
}

func (a *atlassianSource) identities() []signature.Identity { return []signature.Identity{a.identity} }
