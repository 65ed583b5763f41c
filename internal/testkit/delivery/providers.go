package delivery

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/sha1" // Twilio signs with it
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Provider signs the deliveries of one endpoint.
type Provider struct {
	Name   string
	Secret string // what the receiver is configured with

	body func(id string) []byte
	sign func(h http.Header, m message)
}

// message is what one attempt to send a delivery signs.
type message struct {
	id   string
	url  string
	unix string // the time of the attempt
	body []byte
}

// Body returns the body of a delivery, the same on every attempt.
func (p *Provider) Body(id string) []byte { return p.body(id) }

// Make signs one attempt to send the delivery id to a URL. Where the provider
// signs a time, every attempt has its own.
func (p *Provider) Make(id, to string, at time.Time) Delivery {
	m := message{id: id, url: to, unix: strconv.FormatInt(at.Unix(), 10), body: p.body(id)}
	h := http.Header{}
	h.Set("Content-Type", "application/json")
	p.sign(h, m)
	target, err := url.Parse(to)
	if err != nil {
		panic(err) // a URL of the tests
	}
	return Delivery{Path: target.Path, Header: h, Body: m.body}
}

// Providers returns twelve providers of as many kinds of signature. Their
// secrets depend on seed alone.
func Providers(seed string) []Provider {
	secret := func(name string) string {
		sum := sha256.Sum256([]byte(seed + " " + name))
		return hex.EncodeToString(sum[:])
	}
	return []Provider{
		github(secret("github")), stripe(secret("stripe")), slack(secret("slack")),
		standard("standard-webhooks", "webhook", secret("standard-webhooks")),
		shopify(secret("shopify")), twilio(secret("twilio")), gitlab(secret("gitlab")),
		discord(secret("discord")), sendgrid(secret("sendgrid")),
		standard("svix", "svix", secret("svix")),
		square(secret("square")), zoom(secret("zoom")),
	}
}

// withID returns a body that has the delivery ID in a member.
func withID(format string) func(string) []byte {
	return func(id string) []byte { return fmt.Appendf(nil, format, id) }
}

func github(secret string) Provider {
	return Provider{"github", secret, withID(`{"ref":"refs/heads/main","after":"%s"}`), func(h http.Header, m message) {
		h.Set("X-GitHub-Delivery", m.id)
		h.Set("X-GitHub-Event", "push")
		h.Set("X-Hub-Signature-256", "sha256="+hmacSHA256(secret, m.body))
	}}
}

func stripe(secret string) Provider {
	secret = "whsec_" + secret
	return Provider{"stripe", secret, withID(`{"id":"%s","object":"event","type":"invoice.paid"}`), func(h http.Header, m message) {
		h.Set("Stripe-Signature", "t="+m.unix+",v1="+hmacSHA256(secret, []byte(m.unix+"."), m.body))
	}}
}

func slack(secret string) Provider {
	return Provider{"slack", secret, withID(`{"event_id":"%s","type":"event_callback","event":{"type":"message"}}`), func(h http.Header, m message) {
		h.Set("X-Slack-Request-Timestamp", m.unix)
		h.Set("X-Slack-Signature", "v0="+hmacSHA256(secret, []byte("v0:"+m.unix+":"), m.body))
	}}
}

// standard signs as Standard Webhooks and its relatives do.
func standard(name, prefix, secret string) Provider {
	key := []byte(secret)
	return Provider{name, "whsec_" + base64.StdEncoding.EncodeToString(key), withID(`{"type":"invoice.paid","data":{"number":"%s"}}`), func(h http.Header, m message) {
		signStandard(h, prefix, key, m)
	}}
}

func signStandard(h http.Header, prefix string, key []byte, m message) {
	h.Set(prefix+"-id", m.id)
	h.Set(prefix+"-timestamp", m.unix)
	h.Set(prefix+"-signature", "v1,"+base64SHA256(key, []byte(m.id+"."+m.unix+"."), m.body))
}

func shopify(secret string) Provider {
	return Provider{"shopify", secret, withID(`{"id":820982911946154508,"note":"%s"}`), func(h http.Header, m message) {
		h.Set("X-Shopify-Topic", "orders/create")
		h.Set("X-Shopify-Shop-Domain", "example.myshopify.com")
		h.Set("X-Shopify-Webhook-Id", m.id)
		h.Set("X-Shopify-Hmac-Sha256", base64SHA256([]byte(secret), m.body))
	}}
}

// twilio signs the URL and the fields of the form in the order of their names.
func twilio(secret string) Provider {
	return Provider{"twilio", secret, withID("From=%%2B15005550006&SmsSid=%s"), func(h http.Header, m message) {
		h.Set("Content-Type", "application/x-www-form-urlencoded")
		h.Set("I-Twilio-Idempotency-Token", m.id)
		mac := hmac.New(sha1.New, []byte(secret))
		mac.Write([]byte(m.url + "From+15005550006SmsSid" + m.id))
		h.Set("X-Twilio-Signature", base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}}
}

// gitlab signs with a signing token.
func gitlab(secret string) Provider {
	p := standard("gitlab", "webhook", secret)
	sign := p.sign
	p.sign = func(h http.Header, m message) {
		h.Set("X-Gitlab-Event", "Push Hook")
		sign(h, m)
	}
	return p
}

func discord(secret string) Provider {
	seed := sha256.Sum256([]byte(secret))
	key := ed25519.NewKeyFromSeed(seed[:])
	public, _ := key.Public().(ed25519.PublicKey)
	return Provider{"discord", hex.EncodeToString(public), withID(`{"id":"%s","type":2,"token":"t"}`), func(h http.Header, m message) {
		h.Set("X-Signature-Timestamp", m.unix)
		h.Set("X-Signature-Ed25519", hex.EncodeToString(ed25519.Sign(key, append([]byte(m.unix), m.body...))))
	}}
}

// sendgrid signs with ECDSA: no two signatures of one content are alike.
func sendgrid(secret string) Provider {
	seed := sha256.Sum256([]byte(secret))
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), seed[:])
	if err != nil {
		panic(err) // one seed in 2³² is no key
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		panic(err)
	}
	return Provider{"sendgrid", base64.StdEncoding.EncodeToString(public), withID(`[{"event":"delivered","sg_event_id":"%s"}]`), func(h http.Header, m message) {
		sum := sha256.Sum256(append([]byte(m.unix), m.body...))
		signature, err := ecdsa.SignASN1(nil, key, sum[:])
		if err != nil {
			panic(err)
		}
		h.Set("X-Twilio-Email-Event-Webhook-Timestamp", m.unix)
		h.Set("X-Twilio-Email-Event-Webhook-Signature", base64.StdEncoding.EncodeToString(signature))
	}}
}

func square(secret string) Provider {
	return Provider{"square", secret, withID(`{"merchant_id":"M","type":"payment.updated","event_id":"%s"}`), func(h http.Header, m message) {
		h.Set("X-Square-Hmacsha256-Signature", base64SHA256([]byte(secret), []byte(m.url), m.body))
	}}
}

func zoom(secret string) Provider {
	return Provider{"zoom", secret, withID(`{"event":"meeting.started","payload":{"object":{"uuid":"%s"}}}`), func(h http.Header, m message) {
		h.Set("X-Zm-Request-Timestamp", m.unix)
		h.Set("X-Zm-Signature", "v0="+hmacSHA256(secret, []byte("v0:"+m.unix+":"), m.body))
	}}
}

func base64SHA256(key []byte, parts ...[]byte) string {
	mac := hmac.New(sha256.New, key)
	for _, p := range parts {
		mac.Write(p)
	}
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
