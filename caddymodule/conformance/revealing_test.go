package conformance_test

import (
	"encoding/json"
	"maps"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule"
)

// The response to an SNS message without a valid signature must not depend on
// whether its topic is configured.
func TestSNSDoesNotRevealWhichTopicsAreConfigured(t *testing.T) {
	t.Parallel()
	const elsewhere = "arn:aws:sns:us-east-1:999999999999:another"
	for _, v := range accepted(t, "aws-sns")[:2] {
		var message map[string]any
		if err := json.Unmarshal(v.Request.Body, &message); err != nil {
			t.Fatal(err)
		}
		other := changed(t, v, func(p map[string]any) { p["topics"] = []string{elsewhere} })
		configured, unknown := openWith(t, v, nil), openWith(t, other, nil)
		if got := configured.Send(build(t, v)); got.Outcome != string(caddymodule.Verified) {
			t.Fatalf("%s: %s, %s", v.Name, got.Outcome, got.Reason)
		}
		for name, value := range map[string]any{
			"Signature": "AAAA", "signature": "A", "Timestamp": "2001-01-01T00:00:00Z", "SigningCertURL": "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-ffffffffffffffffffffff.pem",
			"signingCertURL": "https://sns.eu-west-1.amazonaws.com/x.pem", "Message": "another", "Type": "Unknown", "SignatureVersion": "9", "Token": 1, "TopicArn": "no topic", "MessageId": nil,
		} {
			altered := maps.Clone(message)
			altered[name] = value
			body, err := json.Marshal(altered)
			if err != nil {
				t.Fatal(err)
			}
			v.Request.Body = body
			a, b := configured.Send(build(t, v)), unknown.Send(build(t, v))
			if a.Outcome == string(caddymodule.Duplicate) {
				continue // the modified member is not signed
			}
			if a.Status != b.Status || a.Outcome != b.Outcome {
				t.Errorf("%s, altered %s: %d %s if the topic is configured, %d %s if not", v.Name, name, a.Status, a.Outcome, b.Status, b.Outcome)
			}
		}
	}
}
