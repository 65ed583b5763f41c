package signature

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
)

// BenchmarkGunzip measures decompression beside the standard library, for bodies that
// consist of one kind of symbol each.
func BenchmarkGunzip(b *testing.B) {
	random := rand.New(rand.NewPCG(3, 4))
	var json, short, skewed bytes.Buffer
	words := make([][]byte, 512)
	for i := range words {
		words[i] = make([]byte, 3+i%3)
		for j := range words[i] {
			words[i][j] = byte('a' + random.IntN(26))
		}
	}
	for i := 0; json.Len() < 4<<20; i++ {
		fmt.Fprintf(&json, `{"id":%d,"type":"push","amount":%d,"ok":true},`, i, random.IntN(1e6))
	}
	for short.Len() < 4<<20 {
		short.Write(words[random.IntN(len(words))])
		skewed.WriteByte(byte(min(255, random.ExpFloat64()*16)))
	}
	for _, c := range []struct {
		name  string
		text  []byte
		level int
	}{
		{"JSON", json.Bytes(), flate.DefaultCompression},
		{"short matches", short.Bytes(), flate.BestCompression},
		{"literals", skewed.Bytes(), flate.HuffmanOnly},
		{"zeros", make([]byte, 4<<20), flate.BestCompression},
	} {
		body := gzipped(b, c.level, string(c.text))
		b.Run(c.name+"/own", func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				if err := gunzip(io.Discard, bytes.NewReader(body), 1<<40, 64<<20); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(c.name+"/compress-gzip", func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				z, err := gzip.NewReader(bytes.NewReader(body))
				if err == nil {
					_, err = io.Copy(io.Discard, io.LimitReader(z, 64<<20))
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
