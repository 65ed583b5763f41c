package signature_test

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// GitHub signs the body with an HMAC, in hex after a prefix. The delivery ID is not
// signed.
func Example() {
	scheme := signature.Scheme{
		Algorithm: signature.HMACSHA256,
		Signature: signature.SignatureField{
			Field:  signature.Field{From: "header", Name: "X-Hub-Signature-256"},
			Prefix: "sha256=",
		},
		ID:    &signature.Field{From: "header", Name: "X-GitHub-Delivery"},
		Event: &signature.Field{From: "header", Name: "X-GitHub-Event"},
	}
	secret, err := signature.NewSecret("a long random text", "production")
	if err != nil {
		panic(err)
	}
	verifier, err := scheme.Compile([]signature.Secret{secret}, 0)
	if err != nil {
		panic(err)
	}

	request := &signature.Request{
		Method: "POST", Scheme: "https", Host: "hooks.example.com", RequestURI: "/webhooks/github",
		Header: http.Header{
			"X-Hub-Signature-256": {"sha256=a3b91da87ffea95498566ea021b4b6f79ff7d800b5b9dc8346b53206b5b0e06d"},
			"X-Github-Delivery":   {"0b989ba4-242f-11e5-81e1-c7b6966d2516"},
			"X-Github-Event":      {"push"},
		},
		Body: signature.BytesBody(`{"ref":"refs/heads/main"}`),
		Now:  time.Now(),
	}
	delivery, err := verifier.Verify(request)
	if err != nil {
		panic(err)
	}
	fmt.Println(delivery.Event, delivery.ID, "signed:", delivery.IDSigned)
	fmt.Println("by", delivery.Matches[0].Secret)

	request.Body = signature.BytesBody(`{"ref":"refs/heads/evil"}`)
	_, err = verifier.Verify(request)
	var refusal *signature.Refusal
	fmt.Println(errors.As(err, &refusal), refusal.Kind)
	// Output:
	// push 0b989ba4-242f-11e5-81e1-c7b6966d2516 signed: false
	// by production
	// true invalid_signature
}

// Stripe signs the timestamp and the body. The header has several parts, which can
// include signatures with other secrets. ID and event type are in the body.
func Example_stripe() {
	scheme := signature.Scheme{
		Algorithm: signature.HMACSHA256,
		Signature: signature.SignatureField{
			Field:     signature.Field{From: "header", Name: "Stripe-Signature"},
			Separator: ",", Assign: "=", Element: "v1",
		},
		Signed:    "{timestamp}.{body}",
		Timestamp: &signature.TimestampField{Field: signature.Field{From: "element", Name: "t"}},
		ID:        &signature.Field{From: "json", Name: "id"},
		Event:     &signature.Field{From: "json", Name: "type"},
	}
	secret, err := signature.NewSecret("whsec_example", "")
	if err != nil {
		panic(err)
	}
	verifier, err := scheme.Compile([]signature.Secret{secret}, 5*time.Minute)
	if err != nil {
		panic(err)
	}

	request := &signature.Request{
		Header: http.Header{"Stripe-Signature": {"t=1760000000,v1=0e5ade09928f8dc67c81045ec315824f251b5eb5d3d59cff6ac2cdc6a1103f2c,v0=ignored"}},
		Now:    time.Unix(1760000060, 0),
	}
	// CheckHeaders refuses requests that have invalid headers before the body is read.
	fmt.Println(verifier.CheckHeaders(request) == nil)
	request.Now = request.Now.Add(time.Hour)
	fmt.Println(verifier.CheckHeaders(request))

	request.Now = time.Unix(1760000060, 0)
	request.Body = signature.BytesBody(`{"id":"evt_1","type":"invoice.paid"}`)
	delivery, err := verifier.Verify(request)
	if err != nil {
		panic(err)
	}
	fmt.Println(delivery.ID, delivery.Event, delivery.Timestamp.UTC(), "signed:", delivery.IDSigned)
	// Output:
	// true
	// stale: signed 1h1m0s ago, which is more than the tolerance of 5m0s: a late retry, a replay, or a clock that is ahead
	// evt_1 invoice.paid 2025-10-09 08:53:20 +0000 UTC signed: true
}

// A secret prints as REDACTED in every format.
func ExampleSecret() {
	secret, err := signature.NewSecret("correct horse battery staple", "")
	if err != nil {
		panic(err)
	}
	fmt.Printf("%v %+v %x\n", secret, struct{ Key signature.Secret }{secret}, secret)
	// Output: REDACTED {Key:REDACTED} REDACTED
}

// Find reads the document once, finds all values and stops after the last one.
func ExampleJSONPaths() {
	paths, err := signature.NewJSONPaths([]string{"type", "data.object.id", "items.0.sku"})
	if err != nil {
		panic(err)
	}
	found, err := paths.Find(signature.BytesBody(`{"data":{"object":{"id":7}},"items":[{"sku":"A-1"},{}],"type":"order.paid"}`))
	fmt.Println(found, err)
	// Output: [order.paid 7 A-1] <nil>
}
