package signature

import "testing"

// TestNamesThatParsersReadAsAnother lists names with which real parsers read the
// parameter in the first column: PHP 8.2 (parse_str), Rack 2.2.22
// (Rack::Utils.parse_nested_query) and qs 6.14, which Express 4 uses.
func TestNamesThatParsersReadAsAnother(t *testing.T) {
	for _, c := range []struct {
		name, parser string
		others       []string
	}{
		{"payload", "PHP", []string{" payload", "  payload", "payload[]", "payload[x]", "payload\x00", "payload\x00x", "payload\x00[]"}},
		{"bt_payload", "PHP", []string{"bt.payload", "bt payload", "bt[payload", "bt_payload[x]", " bt[payload"}},
		{"_method", "PHP", []string{".method", "_method[]", " _method", "[method"}},
		{"data.id", "PHP", []string{"data_id", "data id", "data[id", " data.id", "data.id\x00x", "data_id[]"}},
		{"data[email]", "PHP", []string{"data[email", "data[email]x", "data[email][x]", "data", "data[]"}},
		{"payload", "Rack", []string{"[payload]", "[payload", "payload]", "]payload", "[[payload]]", "[]payload", "][payload", "]]payload]]", "[payload][]", "[payload][x]", "[payload]x", "payload]x", "payload[x][y]"}},
		{"payload", "qs", []string{"[payload]", "[payload][]", "[payload][x]", "[payload]x", "payload[x]"}},
		{"payload", "qs with allowDots", []string{".payload", "payload.x", "payload.x.y"}},
		{"data.id", "qs with allowDots", []string{"data[id]", "[data][id]", "[data].id"}},
		{"payload", "parsers that ignore letter case", []string{"PAYLOAD", "Payload", "[PayLoad]"}},
	} {
		for _, other := range c.others {
			if !SameToSomeParser(other, c.name) {
				t.Errorf("%s reads %q as %q, but they count as different", c.parser, other, c.name)
			}
			if !SameToSomeParser(c.name, other) {
				t.Errorf("%q and %q count as different in the other order", c.name, other)
			}
		}
	}
}

// TestNamesThatNoParserReadsAsAnother: refusing these would lose genuine deliveries.
func TestNamesThatNoParserReadsAsAnother(t *testing.T) {
	for _, c := range [][2]string{
		{"", "payload"},
		{"payloads", "payload"},
		{"my_payload", "payload"},
		{"x[payload]", "payload"},
		{"payload x", "payload"},
		{"body-plain", "token"},
		{"stripped-signature", "signature"},
		{"attachment-1", "token"},
		{"additionalData.cardSummary", "additionalData.hmacSignature"},
		{"data[id]", "data[email]"},
		{"data[merges][EMAIL]", "data[email]"},
		{"data.type", "data.id"},
	} {
		if SameToSomeParser(c[0], c[1]) {
			t.Errorf("%q counts as %q", c[0], c[1])
		}
	}
}
