package file

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

// The file contains one bucket "format", whose key "version" has the value
// formatVersion, and one bucket for each period of time in which keys expire,
// named 'p' and the number of the period. Its keys are 1, 2, 3 … (its own
// sequence), its values chunks. Commits append to the end of a bucket, in whole
// pages, and expiry deletes a whole bucket.
//
// A chunk is a kind byte, records of a 16-byte key and a 4-byte expiry (Unix
// time), and the CRC-32C of all that. A chunk of kind forgotten cancels earlier
// records with the same key and expiry. If several records of one key remain,
// the latest expiry counts. Numbers are big-endian.
//
// Blocking keys and notes have the same format. When the expiry of a note is
// extended, its old record is forgotten, so that forgetting the key later needs
// to cancel only one record.
const (
	formatVersion = "verify_webhook replay file 1"

	periodPrefix  = 'p'
	periodSeconds = 3600

	kindHandled   = 'h'
	kindForgotten = 'f'

	recordSize = replay.KeySize + 4
	// maxChunk keeps a chunk within a page, so that pages can hold many.
	maxChunk = 64
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type record struct {
	key    replay.Key
	expiry uint32
}

// periodOf returns the period of an expiry.
func periodOf(expiry uint32) uint32 { return expiry / periodSeconds }

// periodOver reports whether all keys of a period have expired.
func periodOver(period, now uint32) bool { return period < periodOf(now) }

func periodName(period uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{periodPrefix}, period)
}

func parsePeriodName(name []byte) (period uint32, ok bool) {
	if len(name) != 5 || name[0] != periodPrefix {
		return 0, false
	}
	return binary.BigEndian.Uint32(name[1:]), true
}

func sequenceKey(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// chunk encodes records of one kind.
func chunk(kind byte, list []change) []byte {
	b := make([]byte, 1, 1+len(list)*recordSize+crc32.Size)
	b[0] = kind
	for _, c := range list {
		b = append(b, c.record.key[:]...)
		b = binary.BigEndian.AppendUint32(b, c.record.expiry)
	}
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// parseChunk decodes a chunk into records, reusing their memory.
func parseChunk(b []byte, records []record) (kind byte, _ []record, err error) {
	body := len(b) - crc32.Size
	if body < 1 || (body-1)%recordSize != 0 {
		return 0, nil, fmt.Errorf("%w: invalid chunk size: %d bytes", ErrDamaged, len(b))
	}
	if crc32.Checksum(b[:body], castagnoli) != binary.BigEndian.Uint32(b[body:]) {
		return 0, nil, fmt.Errorf("%w: chunk checksum mismatch", ErrDamaged)
	}
	if b[0] != kindHandled && b[0] != kindForgotten {
		return 0, nil, fmt.Errorf("%w: unknown chunk kind %q", ErrDamaged, b[0])
	}
	records = records[:0]
	for at := 1; at < body; at += recordSize {
		r := record{key: replay.Key(b[at:]), expiry: binary.BigEndian.Uint32(b[at+replay.KeySize:])}
		records = append(records, r)
	}
	return b[0], records, nil
}
