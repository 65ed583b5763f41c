package signature

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// gunzipped decompresses with any number of blocks.
func gunzipped(data []byte, limit int64) ([]byte, error) {
	var b bytes.Buffer
	err := gunzip(&b, bytes.NewReader(data), 1<<40, limit)
	return b.Bytes(), err
}

// reference decompresses one member with the standard library, and refuses what
// follows.
func reference(data []byte) ([]byte, error) {
	r := bytes.NewReader(data)
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, err
	}
	z.Multistream(false)
	out, err := io.ReadAll(z)
	if err == nil && r.Len() > 0 {
		err = errors.New("data after the member")
	}
	return out, err
}

// checkGunzip compares with the standard library.
func checkGunzip(t *testing.T, data []byte) {
	t.Helper()
	want, wantErr := reference(data)
	got, err := gunzipped(data, 64<<20)
	if (err != nil) != (wantErr != nil) || (err == nil && !bytes.Equal(got, want)) {
		t.Errorf("%.60x, %d bytes: %d bytes, error %v; the standard library has %d bytes, error %v", data, len(data), len(got), err, len(want), wantErr)
	}
}

// gzipped compresses text, with a flush after each piece.
func gzipped(t testing.TB, level int, pieces ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, level)
	for i := 0; err == nil && i < len(pieces); i++ {
		if _, err = io.WriteString(w, pieces[i]); err == nil {
			err = w.Flush()
		}
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// compressedTexts are texts of many kinds, compressed at every level.
func compressedTexts(t testing.TB) [][]byte {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 100<<10)
	skewed := make([]byte, 100<<10)
	for i := range noise {
		noise[i], skewed[i] = byte(random.Uint32()), byte(random.ExpFloat64()*20)
	}
	var out [][]byte
	for _, text := range [][]byte{
		nil, []byte("a"), []byte(`{"id":1}`), bytes.Repeat([]byte("a"), 300), bytes.Repeat([]byte("abc"), 70<<10), noise, skewed,
		[]byte(benchBody(100 << 10)), append(skewed[:40<<10:40<<10], skewed...),
	} {
		for level := flate.HuffmanOnly; level <= flate.BestCompression; level++ {
			out = append(out, gzipped(t, level, string(text[:len(text)/2]), string(text[len(text)/2:])))
		}
	}
	return out
}

func TestGunzipAgreesWithTheStandardLibrary(t *testing.T) {
	for _, data := range compressedTexts(t) {
		if _, err := gunzipped(data, 64<<20); err != nil {
			t.Errorf("%d bytes: %v", len(data), err)
		}
		checkGunzip(t, data)
		checkGunzip(t, append(bytes.Clone(data), 0))
		for n := 1; n < len(data); n += 1 + len(data)/8 {
			checkGunzip(t, data[:len(data)-n])
			damaged := bytes.Clone(data)
			damaged[len(data)-n] ^= byte(1 << (n % 8))
			checkGunzip(t, damaged)
		}
	}
}

// gzipOf makes a member with a header, blocks, and the trailer of text.
func gzipOf(flags byte, header string, blocks []byte, text string) []byte {
	out := append([]byte{0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 255}, header...)
	if flags&gzipHeaderSum != 0 {
		out = binary.LittleEndian.AppendUint16(out, uint16(crc32.ChecksumIEEE(out)))
	}
	out = binary.LittleEndian.AppendUint32(append(out, blocks...), crc32.ChecksumIEEE([]byte(text)))
	return binary.LittleEndian.AppendUint32(out, uint32(len(text)))
}

// storedBlock is the last block, with text that is not compressed.
func storedBlock(text string) []byte {
	n := uint16(len(text))
	return append([]byte{1, byte(n), byte(n >> 8), byte(^n), byte(^n >> 8)}, text...)
}

func TestGunzipReadsAllHeaders(t *testing.T) {
	body := storedBlock("hello")
	for name, c := range map[string]struct {
		data     []byte
		accepted bool
	}{
		"none":                  {gzipOf(0, "", body, "hello"), true},
		"name":                  {gzipOf(gzipName, "a.json\x00", body, "hello"), true},
		"name without an end":   {gzipOf(gzipName, "a.json", body, "hello"), false},
		"name of 511 bytes":     {gzipOf(gzipName, strings.Repeat("n", 511)+"\x00", body, "hello"), true},
		"name of 512 bytes":     {gzipOf(gzipName, strings.Repeat("n", 512)+"\x00", body, "hello"), false},
		"extra, name, comment":  {gzipOf(gzipExtra|gzipName|gzipComment, "\x02\x00ABn\x00c\x00", body, "hello"), true},
		"long extra":            {gzipOf(gzipExtra, "\xff\xff"+strings.Repeat("x", 1<<16-1), body, "hello"), true},
		"extra that is cut off": {gzipOf(gzipExtra, "\xff\xff", body, "hello"), false},
		"checksum":              {gzipOf(gzipHeaderSum|gzipName, "n\x00", body, "hello"), true},
		"wrong checksum":        {append([]byte{0x1f, 0x8b, 8, gzipHeaderSum, 0, 0, 0, 0, 0, 255, 1, 2}, gzipOf(0, "", body, "hello")[10:]...), false},
		"reserved flags":        {gzipOf(0xe1, "", body, "hello"), true},
		"another method":        {append([]byte{0x1f, 0x8b, 7}, gzipOf(0, "", body, "hello")[3:]...), false},
		"wrong trailer":         {gzipOf(0, "", body, "jello"), false},
		"wrong length":          {gzipOf(0, "", body, "hello!"), false},
		"two members":           {bytes.Repeat(gzipOf(0, "", body, "hello"), 2), false},
		"nothing":               {nil, false},
		"reserved block":        {gzipOf(0, "", []byte{7}, ""), false},
		"length is not negated": {gzipOf(0, "", []byte{1, 5, 0, 0, 0, 'h', 'e', 'l', 'l', 'o'}, "hello"), false},
		"match before the text": {gzipOf(0, "", []byte{0x03, 0x02, 0x00}, ""), false},
		"symbol 286":            {gzipOf(0, "", []byte{0x1b, 0x03, 0x00}, ""), false},
	} {
		if _, err := gunzipped(c.data, 1<<20); (err == nil) != c.accepted {
			t.Errorf("%s: error %v", name, err)
		}
		checkGunzip(t, c.data)
	}
}

func TestGunzipLimitsTheLengthExactly(t *testing.T) {
	text := benchBody(200 << 10)
	data := gzipped(t, gzip.DefaultCompression, text)
	size := int64(len(text))
	if _, err := gunzipped(data, size); err != nil {
		t.Error(err)
	}
	if out, err := gunzipped(data, size-1); err == nil || int64(len(out)) > size {
		t.Errorf("%d bytes, error %v", len(out), err)
	}
}

// A block costs time however short it is, one with its own codes a hundred times as
// much, so that the numbers of both are limited.
func TestGunzipLimitsTheNumberOfBlocks(t *testing.T) {
	piece := benchBody(1500)
	piece = piece[:1000] + strings.ToUpper(piece[1000:])
	for name, flushed := range map[string][]byte{
		"a flush after each piece":       gzipped(t, gzip.DefaultCompression, slices.Repeat([]string{piece}, freeCodes+10)...),
		"a flush after each short event": gzipped(t, gzip.DefaultCompression, slices.Repeat([]string{`{"id":1,"type":"push"}`, `{"id":2,"type":"pull"}`}, freeBlocks)...),
	} {
		if err := gunzip(io.Discard, bytes.NewReader(flushed), int64(len(flushed)), 1<<30); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, blocks := range map[string][]byte{
		"own codes": bytes.Repeat(shortestCodes, freeCodes+10),
		// Four empty blocks with fixed codes have 40 bits.
		"fixed codes": bytes.Repeat([]byte{0x02, 0x08, 0x20, 0x80, 0x00}, freeBlocks),
	} {
		data := gzipOf(0, "", append(blocks, storedBlock("")...), "")
		if _, err := gunzipped(data, 1<<30); err != nil {
			t.Errorf("%s, without a limit: %v", name, err)
		}
		if err := gunzip(io.Discard, bytes.NewReader(data), int64(len(data)), 1<<30); kindOf(t, err) != Malformed {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// shortestCodes are eight empty blocks with their own codes, which end at a byte.
var shortestCodes = []byte{
	0x04, 0xe0, 0x81, 0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0xfc, 0x5f, 0x83, 0x00, 0x3c, 0x10, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x82, 0xff, 0x6b, 0x10, 0x80, 0x07, 0x02, 0x00, 0x00, 0x00, 0x00, 0x40,
	0xf0, 0x7f, 0x0d, 0x02, 0xf0, 0x40, 0x00, 0x00, 0x00, 0x00, 0x00, 0x08, 0xfe, 0xaf, 0x41, 0x00,
	0x1e, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0xc1, 0xff, 0x35, 0x08, 0xc0, 0x03, 0x01, 0x00, 0x00,
	0x00, 0x00, 0x20, 0xf8, 0xbf, 0x06, 0x01, 0x78, 0x20, 0x00, 0x00, 0x00, 0x00, 0x00, 0x04, 0xff,
	0xd7, 0x20, 0x00, 0x0f, 0x04, 0x00, 0x00, 0x00, 0x00, 0x80, 0xe0, 0xff, 0x1a,
}

func TestGunzipReturnsReadErrors(t *testing.T) {
	broken := errors.New("disk error")
	data := gzipOf(0, "", storedBlock("hello"), "hello")
	for n := range len(data) + 1 {
		src := io.MultiReader(bytes.NewReader(data[:n]), iotest.ErrReader(broken))
		if err := gunzip(io.Discard, src, 100, 100); !errors.Is(err, broken) {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
}

func FuzzGunzip(f *testing.F) {
	for _, data := range compressedTexts(f) {
		if len(data) < 4<<10 {
			f.Add(data)
		}
	}
	f.Add(gzipOf(gzipExtra|gzipName|gzipHeaderSum, "\x02\x00ABn\x00", storedBlock("hello"), "hello"))
	f.Add(gzipOf(0, "", append(bytes.Clone(shortestCodes), storedBlock("")...), ""))
	f.Fuzz(func(t *testing.T, data []byte) {
		checkGunzip(t, data)
		// The same blocks with a header, and with the trailer that belongs to them.
		text, err := io.ReadAll(flate.NewReader(bytes.NewReader(data)))
		member := gzipOf(0, "", data, string(text))
		if err == nil && len(text) < 1<<20 {
			checkGunzip(t, member)
		}
	})
}
