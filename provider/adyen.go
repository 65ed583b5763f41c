package provider

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// adyen verifies standard webhooks, of which every item is signed by itself:
// eight fields, joined by colons.
// https://docs.adyen.com/development-resources/webhooks/secure-webhooks/verify-hmac-signatures
type adyen struct {
	keys []codeKey
}

// codeKey is a secret for a provider's own code.
type codeKey struct {
	bytes    []byte
	identity signature.Identity
}

// adyenItem is what is signed of an item.
type adyenItem struct {
	PSPReference      string `json:"pspReference"`
	OriginalReference string `json:"originalReference"`
	MerchantAccount   string `json:"merchantAccountCode"`
	MerchantReference string `json:"merchantReference"`
	Amount            struct {
		Value    json.Number `json:"value"`
		Currency string      `json:"currency"`
	} `json:"amount"`
	EventCode      string      `json:"eventCode"`
	Success        adyenString `json:"success"`
	AdditionalData struct {
		Signature string `json:"hmacSignature"`
	} `json:"additionalData"`
}

// adyenString is a string that may be spelled as a boolean.
type adyenString string

// UnmarshalJSON implements json.Unmarshaler.
func (s *adyenString) UnmarshalJSON(b []byte) error {
	*s = adyenString(strings.Trim(string(b), `"`))
	return nil
}

func newAdyen(m *Module) (verifier, error) {
	keys, err := m.codeKeys(signature.KeyFormat{Encoding: "hex"})
	return &adyen{keys}, err
}

// codeKeys decodes the secrets.
func (m *Module) codeKeys(format signature.KeyFormat) ([]codeKey, error) {
	var keys []codeKey
	for _, secret := range m.keys {
		raw, err := format.Decode(secret)
		if err != nil {
			return nil, err
		}
		keys = append(keys, codeKey{raw, labelled(secret.Identity(), len(keys))})
	}
	return keys, nil
}

func (a *adyen) checkHeaders(*signature.Request) error { return nil }

func (a *adyen) verify(_ context.Context, r *signature.Request) (*signature.Delivery, error) {
	items, err := adyenItems(r)
	if err != nil {
		return nil, err
	}
	for _, k := range a.keys {
		digest := sha256.New()
		good := true
		for _, item := range items {
			sum := k.sign(item)
			sent, err := base64.StdEncoding.Strict().DecodeString(item.AdditionalData.Signature)
			good = good && err == nil && subtle.ConstantTimeCompare(sum, sent) == 1
			digest.Write(sum)
		}
		if good {
			d := &signature.Delivery{Event: items[0].EventCode, EventSigned: true}
			d.Matches = []signature.Match{{Secret: k.identity, Digest: digest.Sum(nil)}}
			return d, nil
		}
	}
	return nil, signature.Refuse(signature.InvalidSignature, "no configured key signed every item")
}

const (
	// maxAdyenItems bounds the items that are decoded: each takes a hundred
	// times its smallest spelling.
	maxAdyenItems = 64
	// maxAdyenSigned bounds the signed fields of an item in bytes. Adyen's have
	// at most 80 characters each.
	maxAdyenSigned = 8 << 10
)

// fewItems reports whether a document has few enough notification items.
func fewItems(body []byte) bool {
	n := 0
	for name, list := range jsonMembers(body) {
		if !isNamed(name, "notificationItems") {
			continue
		}
		for range jsonElements(list) {
			if n++; n > maxAdyenItems {
				return false
			}
		}
	}
	return true
}

// size is that of the signed fields together.
func (i *adyenItem) size() int {
	return len(i.PSPReference) + len(i.OriginalReference) + len(i.MerchantAccount) + len(i.MerchantReference) +
		len(i.Amount.Value) + len(i.Amount.Currency) + len(i.EventCode) + len(i.Success)
}

func (k codeKey) sign(item adyenItem) []byte {
	h := hmac.New(sha256.New, k.bytes)
	h.Write([]byte(strings.Join([]string{
		item.PSPReference, item.OriginalReference, item.MerchantAccount, item.MerchantReference,
		item.Amount.Value.String(), item.Amount.Currency, item.EventCode, string(item.Success),
	}, ":")))
	return h.Sum(nil)
}

// adyenItems reads the items, at least one, each with a signature.
func adyenItems(r *signature.Request) ([]adyenItem, error) {
	body, err := wholeBody(r)
	if err != nil {
		return nil, err
	}
	if err := checkUniqueNames(body, foldName); err != nil {
		return nil, signature.Refuse(signature.Malformed, "%v", err)
	}
	if !fewItems(body) {
		return nil, signature.Refuse(signature.Malformed, "there are more than %d notification items", maxAdyenItems)
	}
	var document struct {
		Items []struct {
			Item adyenItem `json:"NotificationRequestItem"`
		} `json:"notificationItems"`
	}
	if err := json.Unmarshal(body, &document); err != nil {
		return nil, signature.Refuse(signature.Malformed, "the body is not a list of notification items")
	}
	var items []adyenItem
	for _, i := range document.Items {
		if i.Item.AdditionalData.Signature == "" {
			return nil, signature.Refuse(signature.MissingSignature, "an item has no additionalData.hmacSignature")
		}
		if i.Item.size() > maxAdyenSigned {
			return nil, signature.Refuse(signature.Malformed, "what is signed of an item has more than %d bytes", maxAdyenSigned)
		}
		items = append(items, i.Item)
	}
	if len(items) == 0 {
		return nil, signature.Refuse(signature.MissingSignature, "there are no notification items")
	}
	return items, nil
}

func (a *adyen) traits() signature.Traits {
	return signature.Traits{HasEvent: true, EventSigned: true}
}

func (a *adyen) secrets() []signature.Identity { return identities(a.keys) }

func identities(keys []codeKey) []signature.Identity {
	var ids []signature.Identity
	for _, k := range keys {
		ids = append(ids, k.identity)
	}
	return ids
}
