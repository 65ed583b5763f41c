package catalogue

import (
	"strings"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
)

// A delivery whose content repeats is new under another unsigned ID, so that what
// a preset leaves forgeable can be forged in handled deliveries, too.
func TestAWeaknessOfRepeatingContentIsNotLimitedToNewDeliveries(t *testing.T) {
	for _, p := range provider.Presets() {
		if p.IDSigned {
			continue
		}
		check := func(d *provider.Distinction, weakness string) {
			t.Helper()
			if d.Content == provider.ContentRepeats && strings.Contains(weakness, "not handled yet") {
				t.Errorf("%s: its content repeats, so handled deliveries can be changed as well: %s", p.Name, weakness)
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
