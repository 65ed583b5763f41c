package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/conformance"
)

// shape makes a hostile request of about size bytes from a genuine one.
type shape struct {
	name string
	// generic makes a body that does not depend on the genuine request.
	body     func(size int) []byte
	make     func(genuine conformance.Request, size int) []conformance.Request
	most     int  // larger sizes show nothing more
	coded    bool // only for providers with their own code
	inflated bool // only for providers that sign bodies before compression
}

// fill repeats piece between start and end, up to size bytes.
func fill(start, piece, end string, size int) []byte {
	n := max(1, (size-len(start)-len(end))/len(piece))
	return []byte(start + strings.Repeat(piece, n) + end)
}

// numbered repeats a piece that contains a number, so that all pieces differ.
func numbered(start, format, end string, size int) []byte {
	var b bytes.Buffer
	b.Grow(size + 64)
	b.WriteString(start)
	for i := 0; b.Len() < size-len(end)-32; i++ {
		fmt.Fprintf(&b, format, i)
	}
	b.WriteString(end)
	return b.Bytes()
}

// bodies are shapes that no provider sends.
var bodies = []shape{
	{name: "letters", body: func(n int) []byte { return fill("", "x", "", n) }},
	{name: "one long string", body: func(n int) []byte { return fill(`{"a":"`, "x", `"}`, n) }},
	{name: "a string of escapes", body: func(n int) []byte { return fill(`{"a":"`, `\"`, `"}`, n) }},
	{name: "a string of escaped letters", body: func(n int) []byte { return fill(`{"a":"`, `\u0041`, `"}`, n) }},
	{name: "a long name", body: func(n int) []byte { return fill(`{"`, `\n`, `":1}`, n) }},
	{name: "nested lists", body: func(n int) []byte { return fill("", "[", "", n) }},
	{name: "nested objects", body: func(n int) []byte { return fill("", `{"a":`, "", n) }},
	{name: "empty objects", body: func(n int) []byte { return fill("[", "{},", "{}]", n) }},
	{name: "empty lists", body: func(n int) []byte { return fill("[", "[],", "[]]", n) }},
	{name: "digits", body: func(n int) []byte { return fill("[", "1,", "1]", n) }},
	{name: "a long number", body: func(n int) []byte { return fill(`{"a":`, "9", "}", n) }},
	{name: "many members", body: func(n int) []byte { return numbered("{", `"%x":1,`, `"z":1}`, n) }},
	{name: "one member again and again", body: func(n int) []byte { return fill("{", `"a":1,`, `"a":1}`, n) }},
	{name: "spaces", body: func(n int) []byte { return fill("{", " ", "}", n) }},
	{name: "one field again and again", body: func(n int) []byte { return fill("a", "&a", "", n) }},
	{name: "many fields", body: func(n int) []byte { return numbered("a", "&%x", "", n) }},
	{name: "1,000 fields", body: func(n int) []byte { return fill("a=", strings.Repeat("+", max(1, n/1000-4))+"&a=", "", n-8) }},
	{name: "escaped letters in a field", body: func(n int) []byte { return fill("a=", "%41", "", n) }},
	{name: "letters and escaped letters in a field", body: func(n int) []byte { return fill("a=", "a%41", "", n) }},
	{name: "letters and spaces in a field", body: func(n int) []byte { return fill("a=", "a+", "", n) }},
	{name: "a field with escapes every 1 to 2 bytes", body: scatteredField(1)},
	{name: "a field with escapes every 1 to 8 bytes", body: scatteredField(7)},
	{name: "a field with escapes every 1 to 70 bytes", body: scatteredField(69)},
	{name: "quotes", body: func(n int) []byte { return fill("", `"`, "", n) }},
	{name: "zeros", body: func(n int) []byte { return make([]byte, n) }},
}

// scattered returns escapes and plus signs after random numbers of letters, up to most.
func scattered(most, size int) []byte {
	random := rand.New(rand.NewPCG(5, 6))
	out := make([]byte, 0, size+most+4)
	for len(out) < size {
		for range random.IntN(most + 1) {
			out = append(out, 'x')
		}
		if random.IntN(4) == 0 {
			out = append(out, '+')
		} else {
			out = append(out, "%41"...)
		}
	}
	return out
}

func scatteredField(most int) func(int) []byte {
	return func(n int) []byte { return append([]byte("a="), scattered(most, n-most-8)...) }
}

// made are shapes derived from genuine requests.
var made = []shape{
	{name: "a genuine body in spaces", make: padded, most: 4 << 20},
	{name: "a genuine member made long", make: longStrings, most: 4 << 20, coded: true},
	{name: "a genuine list made long", make: longLists, most: 1 << 20, coded: true},
	{name: "a genuine object with many members", make: manyMembers, most: 1 << 20, coded: true},
	{name: "a genuine field made long", make: longFields, most: 64 << 20},
	{name: "many parts", make: manyParts, most: 1 << 20},
	{name: "long headers of parts", make: longPartHeaders, most: 4 << 20},
	{name: "a token with a long member", make: manyTokens, most: 1 << 20},
	{name: "several signatures", make: severalSignatures, most: 64 << 20},
	{name: "long headers", make: longHeaders, most: 256 << 10},
	{name: "a header's list of headers", make: listedHeaders, most: 256 << 10},
	{name: "a long query", make: longQuery, most: 256 << 10},
}

// keepShapes keeps the shapes whose names contain text.
func keepShapes(text string) {
	for _, list := range []*[]shape{&bodies, &made, &compressed} {
		*list = slices.DeleteFunc(*list, func(s shape) bool { return !strings.Contains(s.name, text) })
	}
}

// clone returns a copy whose headers can be changed.
func clone(q conformance.Request) conformance.Request {
	headers := make(map[string][]string, len(q.Headers))
	for name, values := range q.Headers {
		headers[name] = slices.Clone(values)
	}
	q.Headers = headers
	return q
}

func with(q conformance.Request, body []byte) conformance.Request {
	q = clone(q)
	q.Body = body
	return q
}

// unsigned invalidates the signature of a request. In each header with the name of
// a signature it replaces a character near the end by another of the same kind. If
// there is no such header, it changes every long one, and long parameters of the URL.
func unsigned(q conformance.Request) conformance.Request {
	q = clone(q)
	named := slices.ContainsFunc(slices.Collect(maps.Keys(q.Headers)), holdsSignature)
	for name, values := range q.Headers {
		if name := http.CanonicalHeaderKey(name); name == "Content-Type" || name == "Content-Encoding" || named && !holdsSignature(name) {
			continue
		}
		for i, value := range values {
			values[i] = spoiled(value)
		}
	}
	if !named { // the signature or the token can be in the URL
		base, query, _ := strings.Cut(q.URL, "?")
		if parameters, err := url.ParseQuery(query); err == nil && len(parameters) > 0 {
			for _, values := range parameters {
				for i, value := range values {
					values[i] = spoiled(value)
				}
			}
			q.URL = base + "?" + parameters.Encode()
		}
	}
	return q
}

// holdsSignature reports whether the header's name is that of a signature. Changing
// a timestamp or a key ID would cause a refusal before the body is hashed.
func holdsSignature(name string) bool {
	name = strings.ToLower(name)
	return (strings.Contains(name, "signature") || strings.Contains(name, "hmac")) &&
		!slices.ContainsFunc([]string{"time", "key", "nonce", "version", "input"}, func(other string) bool { return strings.Contains(name, other) })
}

func spoiled(value string) string {
	const short = 12
	if len(value) < short {
		return value
	}
	b := []byte(value)
	for i := len(b) - 4; i > 0; i-- {
		switch c := b[i]; {
		case '0' <= c && c <= '8', 'a' <= c && c < 'f', 'A' <= c && c < 'F':
			b[i]++
			return string(b)
		case c == '9', c == 'f', c == 'F':
			b[i]--
			return string(b)
		}
	}
	return value
}

func padded(q conformance.Request, size int) []conformance.Request {
	return []conformance.Request{with(q, append(bytes.Repeat([]byte(" "), size), q.Body...))}
}

const mark = "\x01\x02mark\x02\x01"

// quotedMark returns the mark as a JSON string.
func quotedMark() []byte {
	quoted, err := json.Marshal(mark)
	if err != nil {
		panic(err) // marshaling a string cannot fail
	}
	return quoted
}

// marked returns copies of the document, at most 16, each with a mark in one of the
// places that change selects.
func marked(body []byte, change func(value any) (any, bool)) [][]byte {
	var document any
	if json.Unmarshal(body, &document) != nil {
		return nil
	}
	var out [][]byte
	for place := range 16 {
		seen := 0
		changed, _ := replaceAt(document, change, place, &seen)
		if seen <= place {
			break
		}
		raw, err := json.Marshal(changed)
		if err != nil {
			break
		}
		out = append(out, raw)
	}
	return out
}

// replaceAt changes the value at a place, counted in walk order.
func replaceAt(value any, change func(any) (any, bool), place int, seen *int) (any, bool) {
	if changed, ok := change(value); ok {
		*seen++
		if *seen-1 == place {
			return changed, true
		}
	}
	switch v := value.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if changed, ok := replaceAt(v[name], change, place, seen); ok {
				v = maps.Clone(v)
				v[name] = changed
				return v, true
			}
		}
	case []any:
		for i := range v {
			if changed, ok := replaceAt(v[i], change, place, seen); ok {
				v = slices.Clone(v)
				v[i] = changed
				return v, true
			}
		}
	}
	return value, false
}

// expanded replaces the mark by a repeated piece.
func expanded(q conformance.Request, documents [][]byte, size int, pieces ...string) []conformance.Request {
	quoted := quotedMark()
	inner := quoted[1 : len(quoted)-1]
	var out []conformance.Request
	for _, document := range documents {
		for _, piece := range pieces {
			n := max(1, (size-len(document))/len(piece))
			what := inner
			if piece[0] == ',' || piece[0] == '{' {
				what = quoted
			}
			out = append(out, with(q, bytes.Replace(document, what, []byte(strings.Repeat(piece, n)), 1)))
		}
	}
	return out
}

func longStrings(q conformance.Request, size int) []conformance.Request {
	documents := marked(q.Body, func(value any) (any, bool) {
		_, ok := value.(string)
		return mark, ok
	})
	return expanded(q, documents, size, "x", `\u0041`, `\"`)
}

func longLists(q conformance.Request, size int) []conformance.Request {
	documents := marked(q.Body, func(value any) (any, bool) {
		list, ok := value.([]any)
		return append(slices.Clone(list), mark), ok
	})
	var out []conformance.Request
	quoted := quotedMark()
	for _, document := range documents {
		for _, piece := range []string{"{},", "1,", `{"a":{}},`, `"",`} {
			n := max(1, (size-len(document))/len(piece))
			out = append(out, with(q, bytes.Replace(document, quoted, []byte(strings.Repeat(piece, n)+"{}"), 1)))
		}
	}
	return append(out, repeatedElements(q, size)...)
}

// repeatedElements repeats the first element of every list.
func repeatedElements(q conformance.Request, size int) []conformance.Request {
	documents := marked(q.Body, func(value any) (any, bool) {
		list, ok := value.([]any)
		if !ok || len(list) == 0 {
			return nil, false
		}
		raw, err := json.Marshal(list[0])
		if err != nil {
			return nil, false
		}
		n := max(1, size/(len(raw)+1))
		return slices.Repeat(list[:1], min(n, 20000)), true
	})
	var out []conformance.Request
	for _, document := range documents {
		out = append(out, with(q, document))
	}
	return out
}

func manyMembers(q conformance.Request, size int) []conformance.Request {
	documents := marked(q.Body, func(value any) (any, bool) {
		object, ok := value.(map[string]any)
		object = maps.Clone(object)
		if ok {
			object[mark] = 1
		}
		return object, ok
	})
	inner := quotedMark()
	var out []conformance.Request
	for _, document := range documents[:min(len(documents), 4)] {
		members := numbered("", `"%x":"",`, `"y"`, size-len(document))
		out = append(out, with(q, bytes.Replace(document, inner, members, 1)))
	}
	return out
}

// longValues returns escaped values.
func longValues(size int) [][]byte {
	var out [][]byte
	for _, piece := range []string{"x", "+", "%41", "a%26"} {
		out = append(out, bytes.Repeat([]byte(piece), max(1, size/len(piece))))
	}
	for _, most := range []int{1, 7, 69} {
		out = append(out, scattered(most, size))
	}
	return out
}

func longFields(q conformance.Request, size int) []conformance.Request {
	form, err := url.ParseQuery(string(q.Body))
	if err != nil || bytes.ContainsAny(q.Body, "{[<") || len(form) == 0 {
		return nil
	}
	var out []conformance.Request
	for name := range form {
		longer := maps.Clone(form)
		longer[name] = []string{mark}
		start, end, _ := strings.Cut(longer.Encode(), url.QueryEscape(mark))
		for _, text := range longValues(size - len(start) - len(end) - 80) {
			out = append(out, with(q, slices.Concat([]byte(start), text, []byte(end))))
		}
		longer[name] = slices.Repeat([]string{"x"}, 1000)
		out = append(out, with(q, []byte(longer.Encode())))
	}
	return out
}

func manyParts(q conformance.Request, size int) []conformance.Request {
	for name, values := range q.Headers {
		if !strings.EqualFold(name, "Content-Type") || len(values) == 0 {
			continue
		}
		if _, params, err := mime.ParseMediaType(values[0]); err == nil && params["boundary"] != "" {
			line := "--" + params["boundary"]
			field := line + "\r\nContent-Disposition: form-data; name=\"json\"\r\n\r\n"
			return []conformance.Request{
				with(q, fill("", line+"\r\nA:\r\n\r\n\r\n", line+"--", size)),
				with(q, fill("", field+"x\r\n", line+"--", size)),
				with(q, fill(field, "x", "\r\n"+line+"--", size)),
				with(q, fill(line+"\r\n", "A:\r\n", "\r\n\r\n"+line+"--", size)),
			}
		}
	}
	return nil
}

// maxHeaders is below the 1 MiB that net/http accepts for all headers.
const maxHeaders = 900 << 10

// ordinary are headers that no provider uses for signatures.
var ordinary = []string{"Host", "User-Agent", "Accept", "Accept-Encoding", "Content-Length", "Connection", "Cache-Control"}

func longHeaders(q conformance.Request, size int) []conformance.Request {
	size = min(size, maxHeaders)
	var out []conformance.Request
	for name, values := range q.Headers {
		if slices.Contains(ordinary, http.CanonicalHeaderKey(name)) {
			continue
		}
		value := values[0]
		long := []string{
			strings.Repeat("a", size), strings.Repeat(",", size), strings.Repeat("a=b,", size/4), strings.Repeat(".", size), strings.Repeat("a;", size/2),
			value + strings.Repeat(","+value, size/(len(value)+1)), value + strings.Repeat(" "+value, size/(len(value)+1)), value + strings.Repeat(";a=1", size/4),
			string(fill("a=(", `"" `, ")", size)), string(fill("a=(", `"";b `, ")", size)), string(numbered("a", ", a%x", "", size)), string(numbered("a", ";a%x", "", size)),
			string(fill("a=(", `"" `, ")", 7<<10)), string(fill("a=(", `"";b `, ")", 7<<10)), string(numbered("a", ", a%x", "", 7<<10)), string(numbered("a", ";a%x", "", 7<<10)),
			value + strings.Repeat(" ", size) + ".", strings.Repeat("a a=a, ", size/7), strings.Repeat("e30.", size/4), strings.Repeat("a=(\"b\" \"c\");", size/12),
		}
		if start, end, found := strings.Cut(value, "("); found { // a list of structured items
			for _, most := range []int{7 << 10, size} {
				long = append(long, start+string(fill("(", `"" `, "", most))+end, start+string(fill("(", `"";b `, "", most))+end, string(numbered(value, ";a%x", "", most)), string(numbered(value, ", a%x", "", most)))
			}
		}
		for _, l := range long {
			longer := clone(q)
			longer.Headers[name] = []string{l}
			out = append(out, longer)
		}
		again := clone(q)
		again.Headers[name] = slices.Repeat([]string{value}, max(1, size/(len(value)+len(name)+4)))
		out = append(out, again)
	}
	return out
}

// listedHeaders changes a header that lists other headers: it lists one of them as
// often as possible, and that one is long.
func listedHeaders(q conformance.Request, size int) []conformance.Request {
	half := min(size, maxHeaders) / 2
	var out []conformance.Request
	for name, values := range q.Headers {
		for listed := range q.Headers {
			at := strings.Index(strings.ToLower(values[0]), strings.ToLower(listed))
			if at < 0 || listed == name {
				continue
			}
			for _, separator := range []string{" ", ","} {
				longer := clone(q)
				longer.Headers[name] = []string{values[0][:at] + strings.Repeat(listed+separator, half/(len(listed)+1)) + values[0][at:]}
				longer.Headers[listed] = []string{strings.Repeat("x", half)}
				out = append(out, longer)
			}
		}
	}
	return out
}

func longQuery(q conformance.Request, size int) []conformance.Request {
	size = min(size, maxHeaders)
	separator := "?"
	if strings.Contains(q.URL, "?") {
		separator = "&"
	}
	var out []conformance.Request
	for _, query := range [][]byte{fill("a", "&a", "", size), numbered("a", "&%x", "", size), fill("a=", "%41", "", size), fill("a=", "/", "", size), fill("bodySHA256=", "&a", "", size)} {
		longer := clone(q)
		longer.URL += separator + string(query)
		out = append(out, longer)
	}
	return out
}
