package signature

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"
)

// smallOrder are the Ed25519 keys for which anyone can make signatures: the points
// whose order is 1, 2, 4 or 8, with the sign bit cleared. Keys of zeros, as in
// examples, are among them.
var smallOrder = []string{
	"0000000000000000000000000000000000000000000000000000000000000000", // order 4
	"0100000000000000000000000000000000000000000000000000000000000000", // order 1
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", // order 8
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a", // order 8
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // order 2
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // order 4, not canonical
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // order 1, not canonical
}

// checkOrder returns an error for a key of small order.
func checkOrder(key ed25519.PublicKey) error {
	unsigned := slices.Clone(key)
	unsigned[len(unsigned)-1] &= 0x7f
	if slices.Contains(smallOrder, hex.EncodeToString(unsigned)) {
		return errors.New("anyone can make signatures for this Ed25519 key: copy the key from the provider")
	}
	return nil
}

// errPublic is the error for a public key in the place of a shared secret: anyone who
// has the public key could sign.
var errPublic = errors.New("it is a public key or a certificate, but this scheme needs a shared secret: anyone who has a public key could sign; copy the secret from the provider")

// CheckShared returns an error if a shared secret is a public key. text is as in the
// config, key decoded.
func CheckShared(text string, key []byte) error {
	text = strings.TrimSpace(text)
	decoded, _ := base64.StdEncoding.DecodeString(text) // empty if it is not base64
	for _, marker := range []string{"PUBLIC KEY-----", "-----BEGIN CERTIFICATE-----"} {
		if strings.Contains(text, marker) || bytes.Contains(key, []byte(marker)) || bytes.Contains(decoded, []byte(marker)) {
			return errPublic
		}
	}
	for _, prefix := range []string{"whpk_", "ssh-rsa ", "ssh-ed25519 ", "ecdsa-sha2-"} {
		if strings.HasPrefix(text, prefix) {
			return errPublic
		}
	}
	if isPublicDER(key) || isPublicDER(decoded) || isPublicJWK(text) {
		return errPublic
	}
	return nil
}

func isPublicDER(der []byte) bool {
	if len(der) > maxKeyText {
		return false
	}
	if _, err := x509.ParsePKIXPublicKey(der); err == nil {
		return true
	}
	_, err := x509.ParseCertificate(der)
	return err == nil
}

func isPublicJWK(text string) bool {
	var jwk struct {
		Type string `json:"kty"`
	}
	return strings.HasPrefix(text, "{") && json.Unmarshal([]byte(text), &jwk) == nil && jwk.Type != "" && jwk.Type != "oct"
}
