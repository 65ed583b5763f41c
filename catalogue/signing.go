package catalogue

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash"
	"math/big"
	"net/http"
	"net/url"
	"strconv"

	"github.com/go-jose/go-jose/v4"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// signings say how to generate deliveries of providers whose schemes are not enough:
// for `sign`, `send` and tests. Those with a token are in signingtokens.go and
// signingdetached.go, those with certificates in signingcertificates.go.
var signings = map[string]*provider.Signing{
	"adobe-io-events":           {Algorithm: signature.RSASHA256, KeyID: true, NewKeyID: adobeKeyPathOf, Sign: signAdobeEvents, ID: new(inJSON("event_id")), Event: new(inJSON("event.type")), Example: provider.PresetOptions{Audience: "4e9d02d2b9d44a0d8d2bcd4aee8ec6c3"}},
	"adyen":                     {InBody: []string{"hmacSignature"}, Sign: signAdyen, ID: new(inJSON(adyenItemPath + "pspReference")), Event: new(inJSON(adyenItemPath + "eventCode"))},
	"apple-app-store":           {Algorithm: signature.ECDSAP256SHA256, Trust: trustAppleRoot, Sign: signAppStore, ID: new(inJSON("notificationUUID")), Event: new(inJSON("notificationType")), Example: provider.PresetOptions{BundleID: "com.example.app"}},
	"atlassian-connect":         {Sign: signAtlassian, ID: new(inHeader("X-Atlassian-Webhook-Identifier")), Event: new(inJSON("webhookEvent")), Example: provider.PresetOptions{Issuers: []string{exampleClientKey}}},
	"atlassian-connect-install": {Algorithm: signature.RSASHA256, KeyID: true, Sign: signAtlassianInstall, Event: new(inJSON("eventType")), Example: provider.PresetOptions{Audience: "https://app.example.com"}},
	"aws-sns":                   {InBody: []string{"Signature", "Token", "SubscribeURL", "UnsubscribeURL"}, Algorithm: signature.RSASHA256, Trust: trustSNS, Sign: signSNS, ID: new(inJSON("MessageId")), Event: new(inJSON("Type")), Example: provider.PresetOptions{Topics: []string{"arn:aws:sns:us-east-1:123456789012:example"}}},
	"braintree":                 {InBody: []string{"bt_signature"}, KeyID: true, Sign: signBraintree},
	"coinbase-cdp":              {Sign: signCoinbase},
	"contentful":                {Sign: signContentful},
	"dropbox-sign":              {InBody: []string{"event_hash"}, Sign: signDropboxSign, Event: new(inJSON("event.event_type"))},
	"ebay":                      {Algorithm: signature.ECDSAP256SHA256, KeyID: true, Sign: signEbay, ID: new(inJSON("notification.notificationId")), Event: new(inJSON("metadata.topic"))},
	"fireblocks-jws":            {Algorithm: signature.RSASHA512, KeyID: true, Sign: signFireblocks, ID: new(inJSON("id")), Event: new(inJSON("eventType"))},
	"fusionauth":                {Sign: signFusionAuth(jose.HS256), ID: new(inJSON("event.id")), Event: new(inJSON("event.type"))},
	"fusionauth-jwks":           {Algorithm: signature.RSASHA256, KeyID: true, Sign: signFusionAuth(jose.RS256), ID: new(inJSON("event.id")), Event: new(inJSON("event.type"))},
	"github-secret-scanning":    {Algorithm: signature.ECDSAP256SHA256, KeyID: true, Sign: signSecretScanning},
	"google-drive":              {Sign: signDrive},
	"google-play-rtdn":          googleSigning,
	"google-pubsub":             googleSigning,
	"hygraph":                   {Sign: signHygraph},
	"kinde":                     {Algorithm: signature.RSASHA256, KeyID: true, Sign: signKinde, ID: new(inJSON("event_id")), Event: new(inJSON("type"))},
	"livekit":                   {Sign: signLiveKit, ID: new(inJSON("id")), Event: new(inJSON("event")), Example: provider.PresetOptions{Issuers: []string{"APIw2PYfJgW3ZdL"}}},
	"messagebird":               {Sign: signMessageBird},
	"microsoft-graph":           {Sign: signGraph},
	"monday":                    {Sign: signMonday, ID: new(inJSON("event.triggerUuid")), Event: new(inJSON("event.type"))},
	"neon":                      {Algorithm: signature.Ed25519, KeyID: true, Trust: trustPEM, Sign: signNeon, ID: new(inJSON("event_id")), Event: new(inJSON("event_type"))},
	"netlify":                   {Sign: signNetlify, Event: new(inHeader("X-Netlify-Event"))},
	"paddle-classic":            {Algorithm: signature.RSASHA1, Sign: signPaddleClassic},
	"paypal":                    {Algorithm: signature.RSASHA256, Trust: trustPayPal, Sign: signPayPal, ID: new(inHeader("Paypal-Transmission-Id")), Event: new(inJSON("event_type")), Example: provider.PresetOptions{WebhookID: "8PT597110X687430LKGECATA"}},
	"plaid":                     {Algorithm: signature.ECDSAP256SHA256, KeyID: true, Sign: signPlaid},
	"rfc9421":                   {NewSecret: newMessageSecret, KeyID: true, Trust: trustMessageKey, Sign: signMessage},
	"saleor":                    {Algorithm: signature.RSASHA256, KeyID: true, Sign: signSaleor, Event: new(inHeader("Saleor-Event"))},
	"truelayer":                 {NewKey: newP521, KeyID: true, Trust: trustKeySet, Sign: signTrueLayer, ID: new(inJSON("event_id")), Event: new(inJSON("type"))},
	"vonage":                    {Sign: signVonage},
	"wix":                       {Algorithm: signature.RSASHA256, Sign: signWix, ID: new(inJSON("id")), Event: new(inJSON("entityFqdn"))},
}

// placement is a place in a request and the value to write there.
type placement struct {
	field signature.Field
	value string
}

// placeAll writes each value that is not empty.
func placeAll(r *signature.Request, all ...placement) error {
	for _, p := range all {
		if p.value == "" {
			continue
		}
		if err := signature.Place(r, p.field, p.value); err != nil {
			return err
		}
	}
	return nil
}

// macOf returns the HMAC of text.
func macOf(newHash func() hash.Hash, key []byte, text string) []byte {
	h := hmac.New(newHash, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// adyenItemPath is the path of the item's members.
const adyenItemPath = "notificationItems.0.NotificationRequestItem."

// signAdyen adds the signature to the only item of the body.
func signAdyen(_ *provider.Module, r *signature.Request, key signature.SigningKey, d signature.Draft) error {
	err := placeAll(r, placement{inJSON(adyenItemPath + "pspReference"), d.ID}, placement{inJSON(adyenItemPath + "eventCode"), d.Event},
		placement{inJSON(adyenItemPath + "additionalData.hmacSignature"), "none"})
	if err != nil {
		return err
	}
	read, err := readAdyenItem(r)
	if err != nil {
		return err
	}
	raw, err := (signature.KeyFormat{Encoding: "hex"}).Decode(key.Secret)
	if err != nil {
		return err
	}
	return signature.Place(r, inJSON(adyenItemPath+"additionalData.hmacSignature"), base64.StdEncoding.EncodeToString(codeKey{bytes: raw}.sign(read)))
}

// signBraintree creates the form of a notification. The body is its XML.
func signBraintree(_ *provider.Module, r *signature.Request, key signature.SigningKey, _ signature.Draft) error {
	body, err := signature.BodyBytes(r.Body)
	if err != nil {
		return err
	}
	payload := base64.StdEncoding.EncodeToString(body) + "\n"
	secret := sha1.Sum(key.Secret.Reveal()) // see braintreeKey
	sum := macOf(sha1.New, secret[:], payload)
	setForm(r, url.Values{"bt_signature": {key.Secret.Label() + "|" + hex.EncodeToString(sum)}, "bt_payload": {payload}})
	return nil
}

func setForm(r *signature.Request, form url.Values) {
	r.Body = signature.BytesBody(form.Encode())
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
}

// signCoinbase also signs the headers that it lists. Variant v0 signs none.
func signCoinbase(m *provider.Module, r *signature.Request, key signature.SigningKey, d signature.Draft) error {
	if m.Variant() == "v1" {
		const list = "content-type x-event-id x-event-type"
		d.Parts = map[string]string{"h": list}
		r.Header.Set("X-Hook0-Signature", "h="+list)
	}
	return signByScheme(m, r, key, d, coinbaseValues)
}

// signContentful lists the signed headers and signs.
func signContentful(m *provider.Module, r *signature.Request, key signature.SigningKey, d signature.Draft) error {
	// Like Contentful: lower case, in the order in which they are sent.
	r.Header.Set("X-Contentful-Signed-Headers", "content-type,x-contentful-signed-headers,x-contentful-timestamp,x-contentful-topic")
	if r.Header.Get("Content-Type") != "" {
		r.Header.Set("Content-Type", "application/vnd.contentful.management.v1+json")
	}
	return signByScheme(m, r, key, d, contentfulValues)
}

// signByScheme signs with the first scheme and the computed values of the preset.
func signByScheme(m *provider.Module, r *signature.Request, key signature.SigningKey, d signature.Draft, values func(*provider.Module, *signature.Request) ([]map[string]string, error)) error {
	schemes, err := m.SigningSchemes()
	if err != nil {
		return err
	}
	d.Prepare = func(r *signature.Request) error {
		if values == nil {
			return nil
		}
		candidates, err := values(m, r)
		if err == nil {
			r.Values = candidates[0]
		}
		return err
	}
	return schemes[0].Sign(r, key, d)
}

// signDropboxSign creates the multipart body with the event in a part.
func signDropboxSign(_ *provider.Module, r *signature.Request, key signature.SigningKey, d signature.Draft) error {
	at := strconv.FormatInt(d.Time.Unix(), 10)
	if err := placeAll(r, placement{inJSON("event.event_time"), at}, placement{inJSON("event.event_type"), d.Event}); err != nil {
		return err
	}
	found, err := dropboxSignMembers.Find(r.Body)
	if err != nil {
		return err
	}
	sum := macOf(sha256.New, key.Secret.Reveal(), at+found[2])
	if err := signature.Place(r, inJSON("event.event_hash"), hex.EncodeToString(sum)); err != nil {
		return err
	}
	const boundary = "------------------------d74496d66958873e"
	r.Header.Set("Content-Type", "multipart/form-data; boundary="+boundary)
	r.Body = signature.BytesBody("--" + boundary + "\r\nContent-Disposition: form-data; name=\"json\"\r\n\r\n" + string(r.Body.Bytes()) + "\r\n--" + boundary + "--\r\n")
	return nil
}

// signDrive numbers the message. It has no body.
func signDrive(m *provider.Module, r *signature.Request, key signature.SigningKey, d signature.Draft) error {
	number, err := rand.Int(rand.Reader, big.NewInt(1<<40))
	if err != nil {
		return err
	}
	for name, value := range map[string]string{
		"X-Goog-Channel-Id": "4ba78bf0-6a47-11e2-bcfd-0800200c9a66", "X-Goog-Message-Number": number.String(), "X-Goog-Resource-Id": "ret08u3rv24htgh289g",
		"X-Goog-Resource-Uri": "https://www.googleapis.com/drive/v3/files/ret08u3rv24htgh289g", "X-Goog-Channel-Expiration": d.Time.Add(week).UTC().Format(http.TimeFormat),
	} {
		r.Header.Set(name, value)
	}
	return signByScheme(m, r, key, d, nil)
}

// signGraph writes the secret into each notification.
func signGraph(_ *provider.Module, r *signature.Request, key signature.SigningKey, _ signature.Draft) error {
	var document struct {
		Value []map[string]any `json:"value"`
	}
	if err := json.Unmarshal(r.Body.Bytes(), &document); err != nil || len(document.Value) == 0 {
		return errors.New(`the body is not a list of notifications, {"value": [{…}]}`)
	}
	for i := range document.Value {
		document.Value[i]["clientState"] = string(key.Secret.Reveal())
	}
	body, err := json.Marshal(document)
	r.Body = signature.BytesBody(body)
	return err
}

// signHygraph names the environment, which is also signed.
func signHygraph(m *provider.Module, r *signature.Request, key signature.SigningKey, d signature.Draft) error {
	d.Parts = map[string]string{"env": "master"}
	return signByScheme(m, r, key, d, hygraphValues)
}

// signPaddleClassic signs the fields of the form.
func signPaddleClassic(m *provider.Module, r *signature.Request, key signature.SigningKey, d signature.Draft) error {
	if err := signature.Place(r, inForm("p_signature"), "none"); err != nil {
		return err
	}
	return signByScheme(m, r, key, d, paddleClassicValues)
}

// signSecretScanning signs with the key like GitHub.
func signSecretScanning(_ *provider.Module, r *signature.Request, key signature.SigningKey, d signature.Draft) error {
	sum := sha256.New()
	if _, err := r.Body.WriteTo(sum); err != nil {
		return err
	}
	sig, err := key.Private.Sign(rand.Reader, sum.Sum(nil), crypto.SHA256)
	if err != nil {
		return err
	}
	r.Header.Set("Github-Public-Key-Identifier", key.Secret.Label())
	r.Header.Set("Github-Public-Key-Signature", base64.StdEncoding.EncodeToString(sig))
	return nil
}
