package catalogue

import (
	"slices"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
)

// TestSecretTablesNameOnlyPresets checks issuedSecrets and signWithAPIKeys.
func TestSecretTablesNameOnlyPresets(t *testing.T) {
	for _, name := range slices.Concat(issuedSecrets, signWithAPIKeys) {
		if !slices.ContainsFunc(catalogue, func(p provider.Preset) bool { return p.Name == name }) {
			t.Errorf("unknown preset: %s", name)
		}
	}
}
