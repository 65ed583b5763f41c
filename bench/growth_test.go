//go:build linux

package main

import (
	"strings"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/bench/result"
)

// The measured growth must be that of the handler alone.
func TestEndpointCaddyfilesDifferOnlyInTheHandler(t *testing.T) {
	bare := endpointsCaddyfile("127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", 20, false)
	whole := endpointsCaddyfile("127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", 20, true)
	var without []string
	for line := range strings.Lines(strings.Replace(whole, "\tverify_webhook {\n\t\tstore memory\n\t}\n", "", 1)) {
		if !strings.Contains(line, "verify_webhook github") {
			without = append(without, line)
		}
	}
	if strings.Join(without, "") != bare || strings.Count(whole, "verify_webhook github") != 20 || strings.Count(bare, "reverse_proxy 127.0.0.1:3") != 20 {
		t.Errorf("%s\n%s", bare, whole)
	}
}

// The variation on busy connections does not apply to the latency of lone deliveries.
func TestLatencyVariationUsesLoneDeliveries(t *testing.T) {
	var twins []result.Measurement
	for round := range 4 {
		for _, work := range []string{lone, many} {
			other := 100.0
			if work == many {
				other = 300
			}
			twins = append(twins,
				result.Measurement{Round: round, Work: work, Target: result.Twin, CPU: 100, P50: 100},
				result.Measurement{Round: round, Work: work, Target: result.Other, CPU: other, P50: other})
		}
	}
	if v := variationOf(twins, 4); v.P50 != 0 || v.CPU == 0 {
		t.Errorf("%+v", v)
	}
}
