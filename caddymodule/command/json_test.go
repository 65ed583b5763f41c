package command

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/command/listen"
)

// hostileText has a control character of each kind: C0, DEL, C1, bidirectional, without
// width, outside the basic plane, and invalid UTF-8.
const hostileText = "a\x00\x1b[2J\x7f\u009b2J\u202e\u2066\u200b\ufeff\U000e0041\xff\nJörg 日本 😀 <&>"

// TestJSONForATerminalIsValidAndHasNoControlCharacters prints as commands do, with and
// without the writer that escapes text for terminals.
func TestJSONForATerminalIsValidAndHasNoControlCharacters(t *testing.T) {
	value := map[string]string{"text": hostileText, hostileText: "b"}
	raw, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]string
	if err := json.Unmarshal(raw, &want); err != nil {
		t.Fatal(err)
	}
	var direct, escaped, listened bytes.Buffer
	if err := printJSON(&direct, value); err != nil {
		t.Fatal(err)
	}
	if err := printJSON(terminal{&escaped}, value); err != nil {
		t.Fatal(err)
	}
	reporter(&listened, true)(listen.Report{Time: time.Unix(0, 0), Kind: listen.Delivered, Delivery: &listen.Delivery{Event: hostileText}})
	for name, out := range map[string]string{"direct": direct.String(), "on a terminal": escaped.String()} {
		var got map[string]string
		if err := json.Unmarshal([]byte(out), &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v: %q", name, err, out)
		}
	}
	for name, out := range map[string]string{"direct": direct.String(), "on a terminal": escaped.String(), "listen": listened.String()} {
		if line, _ := strings.CutSuffix(out, "\n"); strings.ContainsFunc(line, unprintable) {
			t.Errorf("%s: %q contains control characters", name, out)
		}
	}
	if !strings.Contains(direct.String(), "Jörg 日本 😀 <&>") {
		t.Errorf("printable text is escaped: %s", direct.String())
	}
}
