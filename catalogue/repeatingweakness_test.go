package catalogue

import (
	"strings"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
)

// TestWeaknessOfRepeatingContentIncludesHandledDeliveries: if content repeats, a handled
// delivery with another unsigned ID is new. The unsigned parts of handled deliveries can
// be forged too, so the weakness must not be limited to unhandled ones.
func TestWeaknessOfRepeatingContentIncludesHandledDeliveries(t *testing.T) {
	for _, p := range provider.Presets() {
		if p.IDSigned {
			continue
		}
		check := func(d *provider.Distinction, weakness string) {
			t.Helper()
			if d.Content == provider.ContentRepeats && strings.Contains(weakness, "not handled yet") {
				t.Errorf("%s: content repeats, but the weakness excludes handled deliveries: %s", p.Name, weakness)
			}
		}
		check(&p.Distinction, p.Weakness)
		for _, v := range p.Variants {
			d := &p.Distinction
			if v.Distinction != nil {
				d = v.Distinction
			}
			check(d, v.Weakness)
		}
	}
}
