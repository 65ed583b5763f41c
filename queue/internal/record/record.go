// Package record encodes the request of an entry as one block of bytes that is
// written once and never changed.
package record

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"net/http"
	"slices"

	"github.com/verify-webhook/caddy-verify-webhook/queue"
)

// A record consists of the version, the strings of the request, its flags, its
// header, its attributes and the CRC-32C of all that. A string is preceded by
// its length, a map by the number of its names, each followed by its values.
// Numbers are unsigned varints; names are sorted.
const (
	version  = 1
	flagTLS  = 1
	allFlags = flagTLS
)

// Castagnoli is the checksum table of all engines.
var Castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Encode returns the record of a request. It fails with [queue.ErrInvalid] if
// the request is too large.
func Encode(r *queue.Request) ([]byte, error) {
	b := make([]byte, 1, size(r))
	b[0] = version
	for _, text := range []string{r.Method, r.OriginalURI, r.URI, r.Proto, r.Host, r.RemoteAddr} {
		b = AppendString(b, text)
	}
	flags := uint64(0)
	if r.TLS {
		flags |= flagTLS
	}
	b = binary.AppendUvarint(b, flags)
	b = binary.AppendUvarint(b, uint64(len(r.Header)))
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		b = AppendString(b, name)
		values := r.Header[name]
		b = binary.AppendUvarint(b, uint64(len(values)))
		for _, value := range values {
			b = AppendString(b, value)
		}
	}
	b = binary.AppendUvarint(b, uint64(len(r.Attributes)))
	for _, name := range slices.Sorted(maps.Keys(r.Attributes)) {
		b = AppendString(AppendString(b, name), r.Attributes[name])
	}
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, Castagnoli))
	if len(b) > queue.MaxRequestSize {
		return nil, fmt.Errorf("%w: its request has %d bytes without the body: expected at most %d", queue.ErrInvalid, len(b), queue.MaxRequestSize)
	}
	return b, nil
}

// size returns an upper estimate of the length of a record.
func size(r *queue.Request) int {
	n := 64 + len(r.Method) + len(r.OriginalURI) + len(r.URI) + len(r.Proto) + len(r.Host) + len(r.RemoteAddr)
	for name, values := range r.Header {
		n += len(name) + 4
		for _, value := range values {
			n += len(value) + 3
		}
	}
	for name, value := range r.Attributes {
		n += len(name) + len(value) + 6
	}
	return n
}

// Decode decodes a record. It fails with [queue.ErrDamaged].
func Decode(b []byte) (queue.Request, error) {
	end := len(b) - crc32.Size
	if end < 1 || crc32.Checksum(b[:end], Castagnoli) != binary.BigEndian.Uint32(b[end:]) {
		return queue.Request{}, fmt.Errorf("%w: request checksum mismatch", queue.ErrDamaged)
	}
	if b[0] != version {
		return queue.Request{}, fmt.Errorf("%w: unsupported request format %d: expected %d", queue.ErrDamaged, b[0], version)
	}
	// All strings share one copy of the record.
	d := Decoder{text: string(b[:end]), at: 1}
	r := queue.Request{
		Method: d.String(), OriginalURI: d.String(), URI: d.String(), Proto: d.String(), Host: d.String(), RemoteAddr: d.String(),
	}
	flags := d.Uint()
	r.TLS = flags&flagTLS != 0
	r.Header = d.header()
	r.Attributes = d.attributes()
	if d.failed || d.at != len(d.text) || flags&^allFlags != 0 {
		return queue.Request{}, fmt.Errorf("%w: cannot decode the request", queue.ErrDamaged)
	}
	return r, nil
}

func (d *Decoder) header() http.Header {
	header := make(http.Header, min(d.peek(), 64))
	for range d.count() {
		name := d.String()
		values := make([]string, 0, 1)
		for range d.count() {
			values = append(values, d.String())
		}
		header[name] = values
	}
	return header
}

func (d *Decoder) attributes() map[string]string {
	count := d.count()
	if count == 0 {
		return nil
	}
	attributes := map[string]string{}
	for range count {
		name := d.String()
		attributes[name] = d.String()
	}
	return attributes
}

// AppendString appends the length of text and the text.
func AppendString(b []byte, text string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

// Decoder decodes what this package and the engines encode. After a failure it
// returns zero values.
type Decoder struct {
	text   string
	at     int
	failed bool
}

// NewDecoder returns a decoder for a copy of b.
func NewDecoder(b []byte) *Decoder { return &Decoder{text: string(b)} }

// Done reports whether the whole input was decoded without a failure.
func (d *Decoder) Done() bool { return !d.failed && d.at == len(d.text) }

// String decodes the result of [AppendString].
func (d *Decoder) String() string {
	n := d.Uint()
	if d.failed || n > uint64(len(d.text)-d.at) {
		d.failed = true
		return ""
	}
	text := d.text[d.at : d.at+int(n)]
	d.at += int(n)
	return text
}

// Uint decodes an unsigned varint.
func (d *Decoder) Uint() uint64 {
	value, shift := uint64(0), 0
	for !d.failed && d.at < len(d.text) && shift < 64 {
		c := d.text[d.at]
		d.at++
		value |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return value
		}
		shift += 7
	}
	d.failed = true
	return 0
}

// Int decodes the result of [AppendInt].
func (d *Decoder) Int() int64 {
	n := d.Uint()
	return int64(n>>1) ^ -int64(n&1)
}

// AppendInt appends a signed varint.
func AppendInt(b []byte, n int64) []byte {
	return binary.AppendVarint(b, n)
}

// count decodes the number of items that follow. Each has at least one byte.
func (d *Decoder) count() int {
	n := d.Uint()
	if n > uint64(len(d.text)-d.at) {
		d.failed = true
		return 0
	}
	return int(n)
}

// peek returns the next count as a hint, without consuming it.
func (d *Decoder) peek() int {
	ahead := *d
	return ahead.count()
}
