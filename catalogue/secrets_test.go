package catalogue

import (
	"slices"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
)

func TestProvidersOfTheTablesAreInTheCatalogue(t *testing.T) {
	for _, name := range slices.Concat(issuedSecrets, signWithAPIKeys) {
		if !slices.ContainsFunc(catalogue, func(p provider.Preset) bool { return p.Name == name }) {
			t.Errorf("there is no provider %s", name)
		}
	}
}
