package catalogue

import (
	"crypto/md5"
	"encoding/base64"
	"fmt"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// sinchVoiceValues returns the MD5 of the body, which Sinch signs instead of the body.
// The scheme type has no placeholder for it, because bodies with equal MD5 can be
// constructed.
// https://developers.sinch.com/docs/voice/api-reference/authentication/callback-signed-request
func sinchVoiceValues(_ *provider.Module, r *signature.Request) ([]map[string]string, error) {
	h := md5.New()
	if _, err := r.Body.WriteTo(h); err != nil {
		return nil, fmt.Errorf("rereading body: %w", err)
	}
	return []map[string]string{{"md5": base64.StdEncoding.EncodeToString(h.Sum(nil))}}, nil
}
