package provider

import (
	"strings"
	"testing"
)

// A delivery whose content repeats is new under another unsigned ID, so that what
// a preset leaves forgeable can be forged in handled deliveries, too.
func TestAWeaknessOfRepeatingContentIsNotLimitedToNewDeliveries(t *testing.T) {
	for i := range catalogue {
		p := &catalogue[i]
		if p.IDSigned {
			continue
		}
		check := func(d *Distinction, weakness string) {
			t.Helper()
			if d.Content == ContentRepeats && strings.Contains(weakness, "not handled yet") {
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
