package signature

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
)

// Encoding is the encoding of a signature.
type Encoding string

// The encodings. Each accepts exactly one spelling of given bytes, except for the
// letter case of hex digits.
const (
	Hex          Encoding = "hex"
	Base64       Encoding = "base64"        // standard alphabet, padded
	Base64URL    Encoding = "base64url"     // URL-safe alphabet, not padded
	Base64URLPad Encoding = "base64url_pad" // URL-safe alphabet, padded
	Base64Hex    Encoding = "base64_hex"    // base64 of the text in hex, in lower case
)

// Strict refuses stray bits in the last character. It copies the encoding, so it is
// called only once.
var (
	strictBase64       = base64.StdEncoding.Strict()
	strictBase64URL    = base64.RawURLEncoding.Strict()
	strictBase64URLPad = base64.URLEncoding.Strict()
)

// check returns an error that lists the encodings if e is unknown.
func (e Encoding) check() error {
	switch e {
	case Hex, Base64, Base64URL, Base64URLPad, Base64Hex:
		return nil
	}
	return fmt.Errorf("unrecognized signature encoding: %q; write hex, base64, base64url, base64url_pad or base64_hex", string(e))
}

func (e Encoding) base64() *base64.Encoding {
	switch e {
	case Base64URL:
		return strictBase64URL
	case Base64URLPad:
		return strictBase64URLPad
	default:
		return strictBase64
	}
}

// encodedLen returns the encoded length of n bytes.
func (e Encoding) encodedLen(n int) int {
	switch e {
	case Hex:
		return hex.EncodedLen(n)
	case Base64Hex:
		n = hex.EncodedLen(n)
	}
	return e.base64().EncodedLen(n)
}

// decode appends the decoded bytes of text to dst. It accepts only the canonical
// spelling: no white space, exact padding, no stray bits.
func (e Encoding) decode(dst []byte, text string) ([]byte, bool) {
	// Go's base64 skips CR and LF even when strict; hex has none.
	if text == "" || strings.IndexByte(text, '\n') >= 0 || strings.IndexByte(text, '\r') >= 0 {
		return dst, false
	}
	var onStack [128]byte // hex of the longest HMAC
	src := append(onStack[:0], text...)
	start := len(dst)
	var err error
	if e == Hex {
		dst, err = hex.AppendDecode(dst, src)
	} else {
		dst, err = e.base64().AppendDecode(dst, src)
	}
	if err != nil {
		return dst[:start], false
	}
	if e == Base64Hex {
		return decodeLowerHex(dst, start)
	}
	return dst, true
}

// decodeLowerHex decodes the hex digits from start on in place.
func decodeLowerHex(dst []byte, start int) ([]byte, bool) {
	digits := dst[start:]
	if bytes.ContainsAny(digits, "ABCDEF") {
		return dst[:start], false
	}
	n, err := hex.Decode(digits, digits)
	if err != nil {
		return dst[:start], false
	}
	return dst[:start+n], true
}

// Encode encodes sig.
func (e Encoding) Encode(sig []byte) string {
	switch e {
	case Hex:
		return hex.EncodeToString(sig)
	case Base64Hex:
		sig = []byte(hex.EncodeToString(sig))
	}
	return e.base64().EncodeToString(sig)
}
