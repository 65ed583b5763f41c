package caddymodule

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"net/http"
	"strings"
	"testing"
)

// hexMAC returns an HMAC in hex, behind a prefix.
func hexMAC(prefix string, newHash func() hash.Hash) func(string) string {
	return func(text string) string {
		h := hmac.New(newHash, []byte(secret))
		h.Write([]byte(text))
		return prefix + hex.EncodeToString(h.Sum(nil))
	}
}

// A hash that takes long has a smaller default of max_body, request by request.
func TestTheDefaultOfMaxBodyIsSmallerWhereTheHashIsSlow(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	custom := func(algorithm, key, options string) string {
		return `{"provider":{"name":"custom","algorithm":"` + algorithm + `","signature":{"from":"header","name":"X-Hub-Signature"},"secrets":[{"secret":"` + key + `"}]` + options + `}`
	}
	hub := config("websub", "")
	signed := func(text string) string { return hex.EncodeToString(ed25519.Sign(private, []byte(text))) }
	signedSum := func(text string) string {
		sum := sha256.Sum256([]byte(text))
		return signed(hex.EncodeToString(sum[:]))
	}
	for _, c := range []struct {
		name, config string
		sign         func(string) string
		most         int
	}{
		{"SHA-256", custom("hmac-sha256", secret, "}"), hexMAC("", sha256.New), defaultMaxBody},
		{"SHA-384", custom("hmac-sha384", secret, "}"), hexMAC("", sha512.New384), defaultSlowBody},
		{"SHA-512", custom("hmac-sha512", secret, "}"), hexMAC("", sha512.New), defaultSlowBody},
		{"SHA-512, with max_body", custom("hmac-sha512", secret, `},"max_body":5242880`), hexMAC("", sha512.New), 5 << 20},
		{"Ed25519", custom("ed25519", hex.EncodeToString(public), "}"), signed, defaultSlowBody},
		{"Ed25519 over a hash", custom("ed25519", hex.EncodeToString(public), `,"signed":"{body_sha256_hex}"}`), signedSum, defaultMaxBody},
		{"a hub that names SHA-256", hub, hexMAC("sha256=", sha256.New), defaultMaxBody},
		{"a hub that names SHA-512", hub, hexMAC("sha512=", sha512.New), defaultSlowBody},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := trial(t, c.config)
			send := func(body string) *http.Request { return request(body, "X-Hub-Signature", c.sign(body)) }
			longest := strings.Repeat("x", c.most)
			b.expect(t, send(longest), Verified, http.StatusOK)
			for _, r := range []*http.Request{send(longest + "x"), chunked(send(longest + "x"))} {
				if got := b.expect(t, r, TooLarge, http.StatusRequestEntityTooLarge); !strings.Contains(got.Reason, "set max_body") {
					t.Errorf("the reason does not say what to set: %s", got.Reason)
				}
			}
		})
	}
}

// A form whose field is hashed has the smaller default too, and the JSON of the same
// provider has not.
func TestTheDefaultOfMaxBodyIsSmallerForForms(t *testing.T) {
	sign := hexMAC("", sha256.New)
	form := func(size int) *http.Request {
		payload := strings.Repeat("x", size-len("payload="))
		return request("payload="+payload, "Content-Type", "application/x-www-form-urlencoded", "X-Gitea-Signature", sign(payload))
	}
	document := func(size int) *http.Request {
		body := strings.Repeat(" ", size-2) + "{}"
		return request(body, "Content-Type", "application/json", "X-Gitea-Signature", sign(body))
	}
	usual, raised := config("gitea", ""), config("gitea", `"max_body":5242880`)
	for _, c := range []struct {
		name, config string
		make         func(size int) *http.Request
		most         int
	}{
		{"form", usual, form, defaultSlowBody},
		{"form, with max_body", raised, form, 5 << 20},
		{"JSON", usual, document, defaultMaxBody},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := trial(t, c.config)
			b.expect(t, c.make(c.most), Verified, http.StatusOK)
			for _, r := range []*http.Request{c.make(c.most + 1), chunked(c.make(c.most + 1))} {
				if got := b.expect(t, r, TooLarge, http.StatusRequestEntityTooLarge); !strings.Contains(got.Reason, fmt.Sprintf("`max_body %dMiB`", 2*c.most>>20)) {
					t.Errorf("the reason does not say what to write: %s", got.Reason)
				}
			}
		})
	}
}
