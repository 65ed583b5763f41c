// Package delivery simulates providers: it makes and sends signed deliveries for the
// end-to-end tests and the demo. It follows the providers' documentation and shares
// no code with the module, so that an error in either of them is detected.
package delivery

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// Delivery is one signed HTTP request.
type Delivery struct {
	Path   string // below the site's address
	Header http.Header
	Body   []byte
}

// GitHub signs a delivery like GitHub: only the body, with delivery ID and event type
// in headers.
func GitHub(secret, id, event string, body []byte) Delivery {
	h := http.Header{}
	h.Set("Content-Type", "application/json")
	h.Set("User-Agent", "GitHub-Hookshot/demo")
	h.Set("X-GitHub-Delivery", id)
	h.Set("X-GitHub-Event", event)
	h.Set("X-Hub-Signature-256", "sha256="+hmacSHA256(secret, body))
	return Delivery{Path: "/webhooks/github", Header: h, Body: body}
}

// Stripe signs a delivery like Stripe: the time and the body. Delivery ID and event
// type are the body's id and type.
func Stripe(secret string, at time.Time, body []byte) Delivery {
	t := strconv.FormatInt(at.Unix(), 10)
	h := http.Header{}
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("User-Agent", "Stripe/1.0 (+https://stripe.com/docs/webhooks)")
	h.Set("Stripe-Signature", "t="+t+",v1="+hmacSHA256(secret, []byte(t+"."), body))
	return Delivery{Path: "/webhooks/stripe", Header: h, Body: body}
}

func hmacSHA256(secret string, parts ...[]byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	for _, p := range parts {
		mac.Write(p)
	}
	return hex.EncodeToString(mac.Sum(nil))
}

// With returns a copy with one header set, spelled exactly as given.
func (d Delivery) With(name, value string) Delivery {
	d.Header = d.Header.Clone()
	d.Header[name] = []string{value}
	return d
}

// Without returns a copy without one header.
func (d Delivery) Without(name string) Delivery {
	d.Header = d.Header.Clone()
	d.Header.Del(name)
	return d
}

// Altered returns a copy with one bit of the body flipped, headers unchanged.
func (d Delivery) Altered() Delivery {
	d.Body = bytes.Clone(d.Body)
	d.Body[len(d.Body)/2] ^= 1
	return d
}

// Answer is the response to the provider.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Send posts the delivery to the site at base, such as http://127.0.0.1:8080.
func (d Delivery) Send(ctx context.Context, client *http.Client, base string) (Answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+d.Path, bytes.NewReader(d.Body))
	if err != nil {
		return Answer{}, err
	}
	req.Header = d.Header.Clone()
	resp, err := client.Do(req)
	if err != nil {
		return Answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return Answer{}, fmt.Errorf("reading the response: %w", err)
	}
	return Answer{Status: resp.StatusCode, Header: resp.Header, Body: body}, nil
}
