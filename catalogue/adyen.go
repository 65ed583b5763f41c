package catalogue

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// adyen verifies standard webhooks. Each item is signed separately: eight fields,
// joined with colons. Adyen sends one item per request. Exactly one is required,
// because an attacker could combine handled items into endless new lists.
// https://docs.adyen.com/development-resources/webhooks/secure-webhooks/verify-hmac-signatures
type adyen struct {
	keys []codeKey
}

// adyenItem contains the signed fields of an item.
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

// adyenString is a string that may be written as a boolean.
type adyenString string

// UnmarshalJSON implements json.Unmarshaler.
func (s *adyenString) UnmarshalJSON(b []byte) error {
	*s = adyenString(strings.Trim(string(b), `"`))
	return nil
}

func newAdyen(m *provider.Module) (provider.Verifier, error) {
	keys, err := codeKeys(m, signature.KeyFormat{Encoding: "hex"})
	return &adyen{keys}, err
}

func (a *adyen) CheckHeaders(*signature.Request) error { return nil }

func (a *adyen) Verify(_ context.Context, r *signature.Request) (*signature.Delivery, error) {
	item, err := readAdyenItem(r)
	if err != nil {
		return nil, err
	}
	sent, err := base64.StdEncoding.Strict().DecodeString(item.AdditionalData.Signature)
	if err != nil || strings.ContainsAny(item.AdditionalData.Signature, "\r\n") {
		return nil, signature.Refuse(signature.Malformed, "hmacSignature is not base64")
	}
	d := &signature.Delivery{Event: item.EventCode, EventSigned: true}
	for _, k := range a.keys {
		sum := k.sign(item)
		digest := sha256.Sum256(sum)
		match := signature.Match{Secret: k.identity, Digest: digest[:]}
		d.Contents = append(d.Contents, match)
		if subtle.ConstantTimeCompare(sum, sent) == 1 {
			d.Matches = append(d.Matches, match)
		}
	}
	if len(d.Matches) == 0 {
		return nil, signature.Refuse(signature.InvalidSignature, "signature mismatch: no configured key signed the item")
	}
	return d, nil
}

// ambiguous reports whether the joined fields could be split differently: only one of
// them, the merchant's own reference, may contain the separator.
func (item *adyenItem) ambiguous() bool {
	return strings.Contains(strings.Join([]string{
		item.PSPReference, item.OriginalReference, item.MerchantAccount,
		item.Amount.Value.String(), item.Amount.Currency, item.EventCode, string(item.Success),
	}, ""), ":")
}

// maxAdyenSigned is the maximum length of the signed fields of an item, in bytes.
// Adyen's have at most 80 characters each.
const maxAdyenSigned = 8 << 10

// fewItems reports whether a document has at most one notification item. It is called
// before decoding, because a decoded item needs a hundred times the memory of its
// shortest form.
func fewItems(body []byte) bool {
	n := 0
	for name, list := range jsonMembers(body) {
		if !isNamed(name, "notificationItems") {
			continue
		}
		for range jsonElements(list) {
			if n++; n > 1 {
				return false
			}
		}
	}
	return true
}

// size returns the length of the signed fields together.
func (item *adyenItem) size() int {
	return len(item.PSPReference) + len(item.OriginalReference) + len(item.MerchantAccount) + len(item.MerchantReference) +
		len(item.Amount.Value) + len(item.Amount.Currency) + len(item.EventCode) + len(item.Success)
}

func (k codeKey) sign(item adyenItem) []byte {
	h := hmac.New(sha256.New, k.bytes)
	h.Write([]byte(strings.Join([]string{
		item.PSPReference, item.OriginalReference, item.MerchantAccount, item.MerchantReference,
		item.Amount.Value.String(), item.Amount.Currency, item.EventCode, string(item.Success),
	}, ":")))
	return h.Sum(nil)
}

// adyenNames are the members that are read.
var adyenNames = knownNames(4, "notificationItems", "NotificationRequestItem", "pspReference", "originalReference", "merchantAccountCode",
	"merchantReference", "amount", "value", "currency", "eventCode", "success", "additionalData", "hmacSignature")

// readAdyenItem reads the only item from JSON, or from a form if the method of the
// webhook is HTTP POST.
func readAdyenItem(r *signature.Request) (item adyenItem, err error) {
	if form, err := r.Form(); err != nil {
		return item, err
	} else if form != nil {
		return readAdyenForm(form)
	}
	body, err := wholeBody(r)
	if err != nil {
		return item, err
	}
	if err := checkNames(body, adyenNames); err != nil {
		return item, signature.Refuse(signature.Malformed, "%v", err)
	}
	if !fewItems(body) {
		return item, signature.Refuse(signature.Malformed, "more than one notification item; each is signed separately")
	}
	var document struct {
		Items []struct {
			Item *adyenItem `json:"NotificationRequestItem"`
		} `json:"notificationItems"`
	}
	if err := json.Unmarshal(body, &document); err != nil {
		return item, signature.Refuse(signature.Malformed, "the body is not a list of notification items")
	}
	if len(document.Items) == 0 || document.Items[0].Item == nil {
		return item, signature.Refuse(signature.MissingSignature, "missing notification item")
	}
	item = *document.Items[0].Item
	return item, item.check()
}

// check refuses an item that is unsigned or ambiguous.
func (item *adyenItem) check() error {
	switch {
	case item.AdditionalData.Signature == "":
		return signature.Refuse(signature.MissingSignature, "missing additionalData.hmacSignature: generate an HMAC key for the webhook at Adyen")
	case item.size() > maxAdyenSigned:
		return signature.Refuse(signature.Malformed, "the signed fields of the item are longer than %d bytes", maxAdyenSigned)
	case item.ambiguous():
		return signature.Refuse(signature.Malformed, "a signed field of the item contains a colon, which is the separator")
	}
	return nil
}

// readAdyenForm reads the item from a form, in which amount and additional data are
// separate fields. Each must occur at most once.
func readAdyenForm(form url.Values) (item adyenItem, err error) {
	var value string
	fields := map[string]*string{
		"pspReference": &item.PSPReference, "originalReference": &item.OriginalReference, "merchantAccountCode": &item.MerchantAccount,
		"merchantReference": &item.MerchantReference, "value": &value, "currency": &item.Amount.Currency, "eventCode": &item.EventCode,
		"success": (*string)(&item.Success), "additionalData.hmacSignature": &item.AdditionalData.Signature,
	}
	for name, values := range form {
		for read, to := range fields {
			switch {
			case name == read && len(values) == 1:
				*to = values[0]
			case signature.SameToSomeParser(name, read):
				return item, signature.Refuse(signature.Malformed, "duplicate or ambiguous form field: %s", read)
			}
		}
	}
	item.Amount.Value = json.Number(value)
	return item, item.check()
}

func (a *adyen) Coverage() signature.Coverage {
	return signature.Coverage{HasEvent: true, EventSigned: true}
}

func (a *adyen) Secrets() []signature.Identity { return identities(a.keys) }
