package record

import (
	"errors"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/queue"
)

func requests() []queue.Request {
	return []queue.Request{
		{Header: http.Header{}},
		{
			Method: "POST", OriginalURI: "/a?b", URI: "/b", Proto: "HTTP/1.1", Host: "h", RemoteAddr: "1.2.3.4:5", TLS: true,
			Header:     http.Header{"A": {"2", "1", ""}, "B": {}, "": {"\x00\xff"}},
			Attributes: map[string]string{"trace": "x", "": ""},
		},
		{URI: strings.Repeat("/", 1<<20), Header: http.Header{}},
	}
}

func TestARequestIsDecodedAsItWasEncoded(t *testing.T) {
	for _, want := range requests() {
		b, err := Encode(&want)
		if err != nil {
			t.Fatal(err)
		}
		again, _ := Encode(&want)
		if string(again) != string(b) {
			t.Error("the same request has two different records")
		}
		if got, err := Decode(b); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("Decode = %.200v, %v; want %.200v", got, err, want)
		}
	}
}

func TestEveryByteOfARecordIsChecked(t *testing.T) {
	b, err := Encode(&requests()[1])
	if err != nil {
		t.Fatal(err)
	}
	for i := range b {
		damaged := append([]byte(nil), b...)
		damaged[i] ^= 0x10
		if _, err := Decode(damaged); !errors.Is(err, queue.ErrDamaged) {
			t.Errorf("byte %d was changed: %v, want ErrDamaged", i, err)
		}
		if _, err := Decode(b[:i]); !errors.Is(err, queue.ErrDamaged) {
			t.Errorf("truncated at byte %d: %v, want ErrDamaged", i, err)
		}
	}
}

func TestTheFormatIsTheSameInEveryVersion(t *testing.T) {
	b, err := Encode(&queue.Request{
		Method: "POST", URI: "/b", TLS: true, Header: http.Header{"A": {"1", "2"}}, Attributes: map[string]string{"t": "x"},
	})
	if err != nil {
		t.Fatal(err)
	}
	const want = "\x01\x04POST\x00\x02/b\x00\x00\x00\x01\x01\x01A\x02\x011\x012\x01\x01t\x01x"
	if got := string(b[:len(b)-4]); got != want {
		t.Errorf("the record is %q, want %q", got, want)
	}
}

// FuzzDecode checks that decoding any input terminates, and that a decoded
// request is encoded the same way.
func FuzzDecode(f *testing.F) {
	for _, r := range requests()[:2] {
		b, _ := Encode(&r)
		f.Add(b[:len(b)-4])
	}
	f.Add([]byte{version, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, content []byte) {
		r, err := Decode(withSum(content))
		if err != nil {
			if !errors.Is(err, queue.ErrDamaged) {
				t.Fatalf("Decode: %v", err)
			}
			return
		}
		b, err := Encode(&r)
		if err != nil {
			return // larger than the maximum size of an entry
		}
		again, err := Decode(b)
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Fatalf("encoded and decoded again it is %v, %v; want %v", again, err, r)
		}
	})
}

func withSum(content []byte) []byte {
	sum := Sum(content)
	return append(append([]byte(nil), content...), byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum))
}
