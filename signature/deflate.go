package signature

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"slices"
	"sync"
)

// inflater decompresses blocks of deflate (RFC 1951) and writes them to w.
//
// compress/flate is not used, because a sender could cause much work with it: for
// each block with its own Huffman codes, which can be as short as 12 bytes, it builds
// tables of up to 64 entries for every 10 bits, and allocates them. 1 MiB of such
// blocks takes half a second and allocates 900 MiB. This inflater has small tables,
// allocates nothing per block, and limits the number of such blocks.
type inflater struct {
	w       io.Writer
	r       io.Reader
	readErr error // the error of r, except its end

	in   []byte // read and not used
	bits uint64 // the next bits, the first one lowest
	n    uint   // how many of them are valid

	out     [outSize + 8]byte // matches are copied in steps of 8 bytes
	start   int               // of what has not been written
	pos     int               // the end
	written int64             // to w
	limit   int64             // for what is written

	blocks, codes         int64 // the most that may follow: blocks, and those with their own codes
	literals, distances   *huffman
	ownLits, ownDistances huffman
	lengths               [maxLiterals + maxDistances]uint8
	buf                   [16 << 10]byte
}

const (
	deflateWindow = 32 << 10 // how far back a match can be
	outSize       = deflateWindow + 64<<10
	maxMatch      = 258
	maxLiterals   = 286 // symbols for literals and lengths
	maxDistances  = 30
	endOfBlock    = 256

	// Compressors start a block after thousands of symbols, or when they are flushed.
	// However short, each costs 20 ns, and 2 µs if it has its own codes. So blocks must
	// have this many bytes on average, except the first of a body.
	minBlock, freeBlocks     = 4, 8192
	minCodedBlock, freeCodes = 1024, 1024
)

var (
	errDeflate = errors.New("not well-formed")
	errGrows   = errors.New("longer than its limit")
)

// inflate decompresses all blocks.
func (d *inflater) inflate() error {
	for last := false; !last; {
		header, err := d.take(3)
		if err != nil {
			return err
		}
		last = header&1 != 0
		if d.blocks--; d.blocks < 0 {
			return errDeflate
		}
		switch header >> 1 {
		case 0:
			err = d.stored()
		case 1:
			fixed := fixedCodes()
			d.literals, d.distances = &fixed[0], &fixed[1]
			err = d.compressed()
		case 2:
			if err = d.readCodes(); err == nil {
				err = d.compressed()
			}
		default:
			err = errDeflate
		}
		if err != nil {
			return err
		}
	}
	return d.flush()
}

// refill reads bits until there are at least 56, or all that are left.
func (d *inflater) refill() {
	if len(d.in) >= 8 {
		d.bits |= binary.LittleEndian.Uint64(d.in) << d.n
		used := (63 - d.n) >> 3
		d.in = d.in[used:]
		d.n += used << 3
		return
	}
	for d.n < 56 && d.more() {
		d.bits |= uint64(d.in[0]) << d.n
		d.in = d.in[1:]
		d.n += 8
	}
}

// more reports whether there is more input, after reading it.
func (d *inflater) more() bool {
	for len(d.in) == 0 {
		if d.r == nil {
			return false
		}
		n, err := d.r.Read(d.buf[:])
		d.in = d.buf[:n]
		if err != nil {
			d.r = nil
			if !errors.Is(err, io.EOF) {
				d.readErr = fmt.Errorf("rereading body: %w", err)
			}
		}
	}
	return true
}

func (d *inflater) drop(n uint) {
	d.bits >>= n
	d.n -= n
}

// take returns the next n bits, at most 32.
func (d *inflater) take(n uint) (uint64, error) {
	if d.n < n {
		if d.refill(); d.n < n {
			return 0, errDeflate
		}
	}
	value := d.bits & (1<<n - 1)
	d.drop(n)
	return value, nil
}

// align drops bits up to the next byte.
func (d *inflater) align() { d.drop(d.n & 7) }

// stored copies a block that is not compressed.
func (d *inflater) stored() error {
	d.align()
	sizes, err := d.take(32)
	if err != nil {
		return err
	}
	size := int(sizes & 0xffff)
	if size != int(^sizes>>16&0xffff) {
		return errDeflate
	}
	for ; size > 0 && d.n > 0; size-- {
		if err := d.room(); err != nil {
			return err
		}
		d.out[d.pos] = byte(d.bits)
		d.pos++
		d.drop(8)
	}
	if d.n == 0 {
		d.bits = 0 // some bits of d.in are left there
	}
	for size > 0 {
		if err := d.room(); err != nil {
			return err
		}
		if !d.more() {
			return errDeflate
		}
		n := copy(d.out[d.pos:outSize], d.in[:min(size, len(d.in))])
		d.in, d.pos, size = d.in[n:], d.pos+n, size-n
	}
	return nil
}

// compressed decompresses the rest of a block.
func (d *inflater) compressed() error {
	for {
		d.fast()
		if err := d.room(); err != nil {
			return err
		}
		d.refill() // the two codes and their extra bits have at most 48
		e := d.literals.next(d.bits)
		if e.size() == 0 || e.size() > d.n {
			return errDeflate
		}
		switch e.kind() {
		case literal:
			d.drop(e.size())
			d.out[d.pos] = byte(e.value())
			d.pos++
		case rangeOf:
			if err := d.match(e); err != nil {
				return err
			}
		case blockEnd:
			d.drop(e.size())
			return nil
		default:
			return errDeflate
		}
	}
}

// match copies earlier output. e is the code of the length.
func (d *inflater) match(e entry) error {
	next := d.bits >> e.size()
	length := e.valueWith(next)
	used := e.size() + e.extra()
	if e = d.distances.next(next >> e.extra()); e.kind() != rangeOf {
		return errDeflate
	}
	next = d.bits >> used >> e.size()
	distance := e.valueWith(next)
	if used += e.size() + e.extra(); used > d.n || distance > d.pos {
		return errDeflate
	}
	d.drop(used)
	d.copy(d.pos, distance, length)
	d.pos += length
	return nil
}

// fast decompresses symbols until one is special, or input or room are scarce. It
// works on copies of the fields, which takes half the time.
func (d *inflater) fast() {
	next, n, in, pos := d.bits, d.n, d.in, d.pos
	literals, distances := d.literals, d.distances
	for len(in) >= 8 && pos <= outSize-maxMatch {
		next |= binary.LittleEndian.Uint64(in) << n
		in = in[(63-n)>>3:]
		n |= 56
		e := literals.short[next&(1<<shortCode-1)]
		if e == 0 {
			e = literals.long(next)
		}
		if e.kind() == literal {
			d.out[pos] = byte(e.value())
			pos++
			next, n = next>>e.size(), n-e.size()
			continue
		}
		if e.kind() != rangeOf {
			break
		}
		after := next >> e.size()
		length := e.valueWith(after)
		used := e.size() + e.extra()
		after >>= e.extra()
		e = distances.short[after&(1<<shortCode-1)]
		if e == 0 {
			e = distances.long(after)
		}
		if e.kind() != rangeOf {
			break
		}
		distance := e.valueWith(after >> e.size())
		if distance > pos {
			break
		}
		used += e.size() + e.extra()
		next, n = next>>used, n-used
		d.copy(pos, distance, length)
		pos += length
	}
	d.bits, d.n, d.in, d.pos = next, n, in, pos
}

// copy copies a match to pos.
func (d *inflater) copy(pos, distance, length int) {
	from := pos - distance
	if distance >= 8 {
		for i := 0; i < length; i += 8 {
			binary.LittleEndian.PutUint64(d.out[pos+i:], binary.LittleEndian.Uint64(d.out[from+i:]))
		}
		return
	}
	for n := 0; n < length; { // what has been copied is copied, too
		n += copy(d.out[pos+n:pos+length], d.out[from:pos+n])
	}
}

// room writes output if the longest match has no room.
func (d *inflater) room() error {
	if d.pos <= outSize-maxMatch {
		return nil
	}
	if err := d.flush(); err != nil {
		return err
	}
	copy(d.out[:], d.out[d.pos-deflateWindow:d.pos])
	d.start, d.pos = deflateWindow, deflateWindow
	return nil
}

// flush writes all output.
func (d *inflater) flush() error {
	if d.written += int64(d.pos - d.start); d.written > d.limit {
		return errGrows
	}
	_, err := d.w.Write(d.out[d.start:d.pos])
	d.start = d.pos
	return err
}

// readCodes reads the Huffman codes of a block.
func (d *inflater) readCodes() error {
	if d.codes--; d.codes < 0 {
		return errDeflate
	}
	header, err := d.take(5 + 5 + 4)
	if err != nil {
		return err
	}
	literals, distances, codes := int(header&31)+endOfBlock+1, int(header>>5&31)+1, int(header>>10)+4
	if literals > maxLiterals || distances > maxDistances {
		return errDeflate
	}
	var of [len(codeOrder)]uint8
	for _, symbol := range codeOrder[:codes] {
		length, err := d.take(3)
		if err != nil {
			return err
		}
		of[symbol] = uint8(length)
	}
	// The codes for lengths are not used after this.
	if !d.ownLits.set(of[:], plainCodes) || !d.readLengths(d.lengths[:literals+distances]) ||
		!d.ownLits.set(d.lengths[:literals], literalCodes) || !d.ownDistances.set(d.lengths[literals:literals+distances], distanceCodes) {
		return errDeflate
	}
	d.literals, d.distances = &d.ownLits, &d.ownDistances
	return nil
}

// readLengths reads the lengths of all codes.
func (d *inflater) readLengths(lengths []uint8) bool {
	for i := 0; i < len(lengths); {
		d.refill()
		e := d.ownLits.next(d.bits)
		if e.size() == 0 || e.size() > d.n {
			return false
		}
		d.drop(e.size())
		symbol := e.value()
		if symbol < 16 {
			lengths[i] = uint8(symbol)
			i++
			continue
		}
		repeat := repeats[symbol-16]
		more, err := d.take(repeat.extra)
		end := i + repeat.least + int(more)
		if err != nil || end > len(lengths) || (symbol == 16 && i == 0) {
			return false
		}
		value := uint8(0)
		if symbol == 16 {
			value = lengths[i-1]
		}
		for ; i < end; i++ {
			lengths[i] = value
		}
	}
	return true
}

// repeats are what the symbols 16, 17 and 18 mean.
var repeats = [3]struct {
	least int
	extra uint
}{{3, 2}, {3, 3}, {11, 7}}

// codeOrder is the order of the codes for lengths.
var codeOrder = [19]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// entry is what a code stands for.
type entry uint32

// Kinds of entries. unknown are symbols that may have a code, but do not occur.
const (
	unknown entry = iota << 8
	literal
	rangeOf // several lengths or distances, of which extra bits select one
	blockEnd
	kindMask entry = 3 << 8
)

func (e entry) size() uint  { return uint(e & 15) } // of the code, in bits; 0 if there is no such code
func (e entry) extra() uint { return uint(e >> 4 & 15) }
func (e entry) kind() entry { return e & kindMask }
func (e entry) value() int  { return int(e >> 16) }

// valueWith returns the value that the extra bits select.
func (e entry) valueWith(next uint64) int { return e.value() + int(next&(1<<e.extra()-1)) }

// The symbols of the three kinds of codes, in order.
var (
	plainCodes    = plainEntries(len(codeOrder))
	literalCodes  = slices.Concat(plainEntries(endOfBlock), []entry{blockEnd}, rangeEntries(maxLiterals-endOfBlock-2, 3, 4), []entry{rangeOf | maxMatch<<16, unknown, unknown})
	distanceCodes = append(rangeEntries(maxDistances, 1, 2), unknown, unknown)
)

// plainEntries returns n entries that stand for their own numbers.
func plainEntries(n int) []entry {
	all := make([]entry, n)
	for i := range all {
		all[i] = literal | entry(i)<<16
	}
	return all
}

// rangeEntries returns n entries whose values begin with least: after two groups, the
// extra bits increase by one in each group.
func rangeEntries(n, least, group int) []entry {
	all := make([]entry, n)
	for i := range all {
		extra := max(0, i/group-1)
		all[i] = rangeOf | entry(least)<<16 | entry(extra)<<4
		least += 1 << extra
	}
	return all
}

// huffman decodes one Huffman code.
type huffman struct {
	short [1 << shortCode]entry // by the next bits; 0 if the code is longer
	// Longer codes are compared with the limits of their lengths.
	limit   [maxCode + 1]int32 // the first code that is longer, as maxCode bits
	base    [maxCode + 1]int32 // what to add to a code for its position in symbols
	symbols [maxLiterals + 2]entry
}

const (
	shortCode = 9
	maxCode   = 15
)

// next returns what the next bits stand for.
func (h *huffman) next(next uint64) entry {
	if e := h.short[next&(1<<shortCode-1)]; e != 0 {
		return e
	}
	return h.long(next)
}

// long returns what the next bits stand for if the code is longer than shortCode.
//
//go:noinline because fast is slower with it
func (h *huffman) long(next uint64) entry {
	code := int32(bits.Reverse16(uint16(next)) >> 1)
	for n := shortCode + 1; n <= maxCode; n++ {
		if code < h.limit[n] {
			return h.symbols[code>>(maxCode-n)+h.base[n]]
		}
	}
	return 0
}

// set builds the code with these lengths for entries. It returns false if the code is
// incomplete, except one of a single symbol or of none, like compress/flate and zlib.
func (h *huffman) set(lengths []uint8, entries []entry) bool {
	var count [maxCode + 1]int32
	for _, n := range lengths {
		count[n]++
	}
	count[0] = 0
	var at [maxCode + 1]int32 // the position in symbols, by length
	code, total, longest := int32(0), int32(0), 0
	for n := 1; n <= maxCode; n++ {
		code <<= 1
		h.base[n], at[n] = total-code, total
		code, total = code+count[n], total+count[n]
		if h.limit[n] = code << (maxCode - n); count[n] > 0 {
			longest = n
		}
		if code > 1<<n {
			return false
		}
	}
	if complete := h.limit[maxCode] == 1<<maxCode; !complete && total > 0 && (total > 1 || longest > 1) {
		return false
	}
	clear(h.short[:])
	for symbol, n := range lengths {
		if n == 0 {
			continue
		}
		e := entries[symbol] | entry(n)
		h.symbols[at[n]] = e
		if n <= shortCode {
			code := at[n] - h.base[n]
			step := 1 << n
			for i := int(bits.Reverse16(uint16(code)) >> (16 - n)); i < len(h.short); i += step {
				h.short[i] = e
			}
		}
		at[n]++
	}
	return true
}

// fixedCodes are the codes of blocks without their own.
var fixedCodes = sync.OnceValue(func() *[2]huffman {
	lengths := slices.Concat(slices.Repeat([]uint8{8}, 144), slices.Repeat([]uint8{9}, 112), slices.Repeat([]uint8{7}, 24), slices.Repeat([]uint8{8}, 8))
	codes := new([2]huffman)
	codes[0].set(lengths, literalCodes)
	codes[1].set(slices.Repeat([]uint8{5}, 32), distanceCodes)
	return codes
})
