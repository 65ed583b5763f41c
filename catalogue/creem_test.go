package catalogue

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
)

// TestCreemDeliveryWithOneSignatureRemovedIsTheSame: only the newer of the two
// signatures covers a message ID.
func TestCreemDeliveryWithOneSignatureRemovedIsTheSame(t *testing.T) {
	const secret, body = "whsec_Y3JlZW0tdGhyb3ctYXdheS1zZWNyZXQtMzItYnl0ZXM=", `{"id":"evt_1","eventType":"checkout.completed"}`
	m := setUp(t, "creem", secret, provider.PresetOptions{})
	mac := func(key, text string) []byte {
		h := hmac.New(sha256.New, []byte(key))
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	now := strconv.FormatInt(testNow.Unix(), 10)
	newer := []string{
		"webhook-id", "msg_1", "webhook-timestamp", now,
		"webhook-signature", "v1," + base64.StdEncoding.EncodeToString(mac("creem-throw-away-secret-32-bytes", "msg_1."+now+"."+body)),
	}
	older := []string{"creem-signature", hex.EncodeToString(mac(secret, body))}
	known := func(headers ...string) map[string]bool {
		d, err := verify(t, m, request("POST", "/in", body, headers...))
		if err != nil {
			t.Fatal(err)
		}
		return replayKeys(d)
	}
	both := known(append(append([]string{}, newer...), older...)...)
	for _, one := range [][]string{newer, older} {
		for key := range known(one...) {
			if !both[key] {
				t.Errorf("with only %s, the delivery has a new replay key", one[len(one)-2])
			}
		}
	}
}
