package main

import (
	"bytes"
	"compress/flate"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/conformance"
)

// compressed are gzip bodies of about size bytes. Their checksums are wrong, which is
// found only at the end.
var compressed = []shape{
	gzipShape("zeros", func(n int) []byte { return deflated(make([]byte, min(1000*n, 64<<20)), flate.BestCompression) }),
	gzipShape("literals of many lengths", func(n int) []byte { return deflated(skewed(n+n/2), flate.HuffmanOnly) }),
	gzipShape("short matches", func(n int) []byte { return deflated(words(2*n), flate.BestCompression) }),
	gzipShape("JSON", func(n int) []byte {
		return deflated(numbered("[", `{"id":%d,"type":"push","ok":true},`, "0]", min(16*n, 32<<20)), flate.DefaultCompression)
	}),
	gzipShape("empty stored blocks", func(n int) []byte { return wrapped([]byte(strings.Repeat("\x00\x00\x00\xff\xff", n/5))) }),
	gzipShape("empty blocks with fixed codes", func(n int) []byte { return repeatedBlock(n, func(w *bitWriter) { w.put(0b010, 3+7) }) }),
	gzipShape("empty blocks with short codes", func(n int) []byte { return repeatedBlock(n, shortCodes) }),
	gzipShape("empty blocks with long codes", func(n int) []byte { return repeatedBlock(n, longCodes) }),
	gzipShape("letters in blocks with long codes", func(n int) []byte {
		return repeatedBlock(n, func(w *bitWriter) { longCodesOf(w, 100) })
	}),
}

// gzipShape makes a shape of a compressed body.
func gzipShape(name string, body func(size int) []byte) shape {
	made := make(map[int][]byte) // by size, because compressing takes long
	return shape{name: "gzip: " + name, inflated: true, most: 64 << 20, make: func(q conformance.Request, size int) []conformance.Request {
		if made[size] == nil {
			made[size] = body(size)
		}
		q = with(q, made[size][:min(len(made[size]), size)])
		q.Headers["Content-Encoding"] = []string{"gzip"}
		return []conformance.Request{q}
	}}
}

// deflated compresses data, in a gzip member.
func deflated(data []byte, level int) []byte {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, level)
	if err != nil {
		panic(err) // the levels are constants
	}
	_, _ = w.Write(data) // writing to a buffer cannot fail
	_ = w.Flush()
	return wrapped(b.Bytes())
}

// wrapped adds the header and an incorrect trailer of gzip to blocks. The last block
// is empty.
func wrapped(blocks []byte) []byte {
	out := append([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255}, blocks...)
	out = append(out, 1, 0, 0, 0xff, 0xff)
	return append(out, make([]byte, 2*crc32.Size)...)
}

// skewed returns bytes whose Huffman codes have many lengths.
func skewed(n int) []byte {
	random := rand.New(rand.NewPCG(1, 2))
	out := make([]byte, n)
	for i := range out {
		out[i] = byte(min(255, random.ExpFloat64()*16))
	}
	return out
}

// words returns text that is compressed to short matches.
func words(n int) []byte {
	random := rand.New(rand.NewPCG(3, 4))
	var list [512][]byte
	for i := range list {
		list[i] = make([]byte, 3+i%3)
		for j := range list[i] {
			list[i][j] = byte('a' + random.IntN(26))
		}
	}
	var b bytes.Buffer
	for b.Len() < n {
		b.Write(list[random.IntN(len(list))])
	}
	return b.Bytes()
}

// bitWriter writes the bits of deflate blocks.
type bitWriter struct {
	out  []byte
	bits uint64
	n    int
}

func (w *bitWriter) put(value uint64, bits int) {
	w.bits |= value << w.n
	for w.n += bits; w.n >= 8; w.n -= 8 {
		w.out = append(w.out, byte(w.bits))
		w.bits >>= 8
	}
}

// repeatedBlock repeats a block that is not the last.
func repeatedBlock(size int, block func(*bitWriter)) []byte {
	var w bitWriter
	for range 8 { // then it ends at a byte
		block(&w)
	}
	return wrapped(bytes.Repeat(w.out, max(1, size/len(w.out))))
}

// codeOrder is the order of the code lengths in a block's header.
var codeOrder = []int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// shortCodes writes an empty block with the shortest possible header.
func shortCodes(w *bitWriter) {
	lengths := make([]int, 257)
	lengths[256] = 1
	code := dynamicHeader(w, lengths, []int{1}, map[int]int{1: 1, 18: 1})
	w.put(code[256], 1)
}

func longCodes(w *bitWriter) { longCodesOf(w, 0) }

// longCodesOf writes a block whose tables are as large as possible, with n letters.
func longCodesOf(w *bitWriter, n int) {
	lengths := make([]int, 11+271)
	copy(lengths, []int{1, 3, 4, 5, 6, 11, 12, 13, 14, 15, 15})
	for i := 11; i < len(lengths); i++ {
		lengths[i] = 10
	}
	code := dynamicHeader(w, lengths, []int{1}, map[int]int{10: 1, 16: 2, 1: 5, 3: 5, 4: 5, 5: 5, 6: 5, 11: 5, 12: 6, 13: 6, 14: 6, 15: 6})
	for range n {
		w.put(code[10], lengths[10])
	}
	w.put(code[256], lengths[256])
}

// dynamicHeader writes the header of a block with these lengths of its codes, and
// returns the codes. of are the lengths of the codes for lengths.
func dynamicHeader(w *bitWriter, literals, distances []int, of map[int]int) []uint64 {
	var ofAll [19]int
	for symbol, length := range of {
		ofAll[symbol] = length
	}
	codes := canonical(ofAll[:])
	w.put(0b100, 3)
	w.put(uint64(len(literals)-257), 5)
	w.put(uint64(len(distances)-1), 5)
	w.put(uint64(len(codeOrder)-4), 4)
	for _, symbol := range codeOrder {
		w.put(uint64(ofAll[symbol]), 3)
	}
	all := slices.Concat(literals, distances)
	for i := 0; i < len(all); {
		run := 1
		for i+run < len(all) && all[i+run] == all[i] {
			run++
		}
		switch {
		case all[i] == 0 && run >= 11 && of[18] > 0:
			run = min(run, 138)
			w.put(codes[18], of[18])
			w.put(uint64(run-11), 7)
		case i > 0 && all[i] == all[i-1] && run >= 3 && of[16] > 0:
			run = min(run, 6)
			w.put(codes[16], of[16])
			w.put(uint64(run-3), 2)
		default:
			run = 1
			w.put(codes[all[i]], ofAll[all[i]])
		}
		i += run
	}
	return canonical(literals)
}

// canonical returns the codes of these lengths, with the bits in the order in which
// they are written.
func canonical(lengths []int) []uint64 {
	codes := make([]uint64, len(lengths))
	next := uint64(0)
	for length := 1; length <= 15; length++ {
		next <<= 1
		for symbol, of := range lengths {
			if of != length {
				continue
			}
			for bit := range length {
				codes[symbol] |= next >> bit & 1 << (length - 1 - bit)
			}
			next++
		}
	}
	return codes
}
