package signature

import (
	"io"
	"strings"
	"testing"
)

func BenchmarkFormShapes(b *testing.B) {
	for name, piece := range map[string]string{"escapes": "%41", "letters": "x", "plus": "+", "mixed": "a%41", "word": "hello+world%20this+is%2C"} {
		text := []byte("a=" + strings.Repeat(piece, (8<<20)/len(piece)))
		b.Run("scan/"+name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				var s formScan
				s.Write(text)
			}
		})
		b.Run("unescape/"+name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			scratch := make([]byte, 0, 2*maxGathered)
			for b.Loop() {
				scratch, _, _ = putUnescaped(io.Discard, scratch[:0], text[2:], true)
			}
		})
	}
}
func BenchmarkEscaper(b *testing.B) {
	for name, piece := range map[string]string{"newlines": `\n`, "letters": "x", "quotes": `"`, "mixed": `a"`, "utf8": "é"} {
		text := BytesBody(strings.Repeat(piece, (2<<20)/len(piece)))
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				writeEscaped(io.Discard, text)
			}
		})
	}
}
