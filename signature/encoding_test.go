package signature

import (
	"bytes"
	"strings"
	"testing"
)

func TestEveryEncodingIsCanonical(t *testing.T) {
	for _, c := range []struct {
		encoding Encoding
		text     string
		want     string
		ok       bool
	}{
		{Hex, "00ff10", "\x00\xff\x10", true},
		{Hex, "00FF10", "\x00\xff\x10", true}, // either case
		{Hex, "0", "", false},
		{Hex, "0x00", "", false},
		{Hex, "0g", "", false},
		{Hex, "00 ff", "", false},
		{Hex, "00\nff", "", false},
		{Hex, "٠٠", "", false},
		{Hex, "", "", false},
		{Base64, "AP8Q", "\x00\xff\x10", true},
		{Base64, "+/8=", "\xfb\xff", true},
		{Base64, "-_8=", "", false},   // the other alphabet
		{Base64, "+/8", "", false},    // padding is missing
		{Base64, "+/8==", "", false},  // too much padding
		{Base64, "+/9=", "", false},   // nonzero trailing bits
		{Base64, "+/\n8=", "", false}, // Go skips line breaks
		{Base64, "+/8=\r\n", "", false},
		{Base64, "+/8= ", "", false},
		{Base64, "AP8QAP8Q====", "", false},
		{Base64URL, "-_8", "\xfb\xff", true},
		{Base64URL, "-_8=", "", false},
		{Base64URL, "-_9", "", false},
		{Base64URLPad, "-_8=", "\xfb\xff", true},
		{Base64URLPad, "-_8", "", false},
		{Base64URLPad, "+/8=", "", false},
		{Base64URLPad, "-_8=\n", "", false},
		{Base64Hex, "MDBmZjEw", "\x00\xff\x10", true},
		{Base64Hex, "MDBGRjEw", "", false}, // 00FF10: upper case
		{Base64Hex, "MDBmZjE", "", false},  // padding is missing
		{Base64Hex, "MDBmZjE=", "", false}, // 00ff1
		{Base64Hex, "MDBmZjFn", "", false}, // 00ff1g
		{Base64Hex, "AP8Q", "", false},     // base64 of the bytes, not of their hex
		{Base64Hex, "MDBm\nZjEw", "", false},
		{Base64, strings.Repeat("A", 5), "", false},
		{Base64, strings.Repeat("=", 4), "", false},
		{Base64, "A===", "", false},
		{Hex, strings.Repeat("0", 1<<10) + "x", "", false},
	} {
		got, ok := c.encoding.decode([]byte("before"), c.text)
		if ok != c.ok || string(got) != "before"+c.want {
			t.Errorf("%s %q: got %q, %t", c.encoding, c.text, got, ok)
		}
	}
}

func TestDecodeAcceptsWhatEncodeReturns(t *testing.T) {
	for _, e := range []Encoding{Hex, Base64, Base64URL, Base64URLPad, Base64Hex} {
		for n := 1; n < 200; n++ {
			b := bytes.Repeat([]byte{0xfb}, n)
			text := e.Encode(b)
			if got, ok := e.decode(nil, text); !ok || !bytes.Equal(got, b) || len(text) != e.encodedLen(n) {
				t.Fatalf("%s of %d bytes: %q", e, n, text)
			}
		}
	}
}
