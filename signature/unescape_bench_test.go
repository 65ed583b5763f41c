package signature

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"fmt"
	"hash"
	"math/rand/v2"
	"testing"
)

// scatteredEscapes returns about size bytes of a form value with escapes and plus signs
// after random numbers of letters, up to most.
func scatteredEscapes(most, size int) []byte {
	random := rand.New(rand.NewPCG(5, 6))
	var out []byte
	for len(out) < size {
		out = append(out, bytes.Repeat([]byte("x"), random.IntN(most+1))...)
		out = append(out, []string{"%41", "%41", "%41", "+"}[random.IntN(4)]...)
	}
	return out
}

// BenchmarkForm measures what a form of 1 MiB costs for each of its steps.
func BenchmarkForm(b *testing.B) {
	const size = 1 << 20
	texts := []struct {
		name string
		text []byte
	}{
		{"letters", bytes.Repeat([]byte("x"), size)},
		{"pluses", bytes.Repeat([]byte("a+"), size/2)},
		{"escapes", bytes.Repeat([]byte("%41"), size/3)},
		{"alternating", bytes.Repeat([]byte("a%41"), size/4)},
		{"every 5", bytes.Repeat([]byte("aaaa%41"), size/7)},
	}
	for _, most := range []int{1, 3, 7, 15, 31, 69} {
		texts = append(texts, struct {
			name string
			text []byte
		}{fmt.Sprintf("every 1 to %d", most+1), scatteredEscapes(most, size)})
	}
	for _, c := range texts {
		b.Run("unescape/"+c.name, func(b *testing.B) {
			var scratch []byte
			b.SetBytes(int64(len(c.text)))
			for b.Loop() {
				for at := 0; at < len(c.text); at += maxGathered {
					piece := c.text[at:min(at+maxGathered, len(c.text))]
					scratch, _ = appendUnescaped(scratch[:0], piece)
				}
			}
		})
		for _, newHash := range []func() hash.Hash{sha1.New, sha256.New} {
			b.Run(fmt.Sprintf("hash %d/%s", newHash().Size(), c.name), func(b *testing.B) {
				b.SetBytes(int64(len(c.text)))
				for b.Loop() {
					form, err := readFields(spooledOnce{BytesBody("a=" + string(c.text))}, true)
					if err != nil {
						b.Fatal(err)
					}
					if _, err := form.write(newHash(), nil, &form.fields[0]); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		b.Run("scan/"+c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.text)))
			body := BytesBody("a=" + string(c.text))
			for b.Loop() {
				if _, err := readFields(body, true); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// spooledOnce is a body in a file that is written at once.
type spooledOnce struct{ BytesBody }

func (b spooledOnce) Bytes() []byte { return nil }

func (b spooledOnce) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(b.BytesBody).ReadAt(p, off)
}
