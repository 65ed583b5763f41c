package provider

import (
	"crypto"
	"crypto/rsa"
	_ "crypto/sha512" // RS512
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

var (
	errBodyRead = errors.New("reading the body again")
	errDetached = errors.New("the signature is not one by this key over this body")
)

// verifyDetached checks a detached JWS with RS512 over the body, which is
// hashed as it is read: the library would hold it in memory several times.
func verifyDetached(token string, body signature.Body, key any) error {
	public, ok := key.(*rsa.PublicKey)
	header, rest, _ := strings.Cut(token, ".")
	_, text, found := strings.Cut(rest, ".")
	if !ok || !found {
		return errDetached
	}
	sig, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(sig) != public.Size() {
		return errDetached
	}
	if err := checkPlainHeader(header); err != nil {
		return err
	}
	h := crypto.SHA512.New()
	_, _ = io.WriteString(h, header+".") // a hash never fails
	encoder := base64.NewEncoder(base64.RawURLEncoding, h)
	if _, err := body.WriteTo(encoder); err != nil {
		return fmt.Errorf("%w: %w", errBodyRead, err)
	}
	if err := encoder.Close(); err != nil {
		return err
	}
	if rsa.VerifyPKCS1v15(public, crypto.SHA512, h.Sum(nil), sig) != nil {
		return errDetached
	}
	return nil
}

// checkPlainHeader refuses headers that change what is signed.
func checkPlainHeader(text string) error {
	header, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || checkNames(header, anyNames) != nil {
		return errDetached
	}
	for name := range jsonMembers(header) {
		if text, _ := jsonString(name, true); text == "crit" || text == "b64" {
			return errDetached
		}
	}
	return nil
}
