package diagnose

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// serialization is one way of writing a JSON document.
type serialization struct {
	how  string
	text []byte
}

// jsonStyle is the white space that a writer adds.
type jsonStyle struct {
	how          string
	comma, colon string
	indent       string
}

var jsonStyles = []jsonStyle{
	{"without white space", ",", ":", ""},
	{"with a blank after commas and colons (Python)", ", ", ": ", ""},
	{"indented by 2 blanks", ",", ": ", "  "},
	{"indented by 4 blanks", ",", ": ", "    "},
	{"indented by tabs", ",", ": ", "\t"},
	{"with a blank after colons", ",", ": ", ""},
	{"indented by 2 blanks, with a blank before colons (Jackson)", ",", " : ", "  "},
}

// jsonEscape is the set of characters that a writer escapes.
type jsonEscape struct {
	how string
	// ascii: all non-ASCII characters. low: \u00e9 rather than \u00E9. slash: / as \/.
	ascii, low, slash bool
	// chars are written as \u escapes.
	chars string
}

// The characters that well-known writers escape besides quotes and control characters.
const (
	lineSeparators = "\u2028\u2029"
	htmlCharacters = "<>&" + lineSeparators
)

var jsonEscapes = []jsonEscape{
	{how: ""},
	{how: "non-ASCII as \\u escapes", ascii: true, low: true},
	{how: "non-ASCII as \\u escapes in upper case", ascii: true},
	{how: "/ as \\/", slash: true},
	{how: "/ as \\/ and non-ASCII as \\u escapes (PHP)", slash: true, ascii: true, low: true},
	{how: "< > & as \\u escapes (Go)", chars: htmlCharacters, low: true},
	{how: "< > & and non-ASCII as \\u escapes (Rails)", chars: htmlCharacters, ascii: true, low: true},
	{how: "U+2028 and U+2029 as \\u escapes", chars: lineSeparators, low: true},
	{how: "< > & = ' as \\u escapes (Gson)", chars: htmlCharacters + "='", low: true},
	{how: "< > & + ' \" ` and non-ASCII as \\u escapes in upper case (.NET)", chars: "<>&+'\"`", ascii: true},
}

// maxSerialized is the maximum total size of all serializations, in bytes.
const maxSerialized = 32 << 20

// serializations returns the document as other writers write it, the most likely
// first. Nil if it is not JSON.
func serializations(text []byte) []serialization {
	document, err := parseJSON(text)
	if err != nil {
		return nil
	}
	var all []serialization
	size := 0
	add := func(how string, text []byte) {
		if !slices.ContainsFunc(all, func(other serialization) bool { return bytes.Equal(other.text, text) }) {
			all = append(all, serialization{how, text})
			size += len(text)
		}
	}
	for _, sorted := range []bool{false, true} {
		for _, style := range jsonStyles {
			for _, escape := range jsonEscapes {
				w := jsonWriter{style: style, escape: escape, sorted: sorted}
				w.write(document, 0)
				add(w.how(), w.out.Bytes())
				add(w.how()+", with a line break at its end", append(bytes.Clone(w.out.Bytes()), '\n'))
				if size > maxSerialized {
					return all
				}
			}
		}
	}
	return all
}

func (w *jsonWriter) how() string {
	parts := []string{w.style.how}
	if w.escape.how != "" {
		parts = append(parts, w.escape.how)
	}
	if w.sorted {
		parts = append(parts, "members sorted by name")
	} else {
		parts = append(parts, "members in this order")
	}
	return strings.Join(parts, ", ")
}

// jsonMember is a member of an object, in order.
type jsonMember struct {
	name  string
	value any
}

// parseJSON reads a document as nested []jsonMember, []any, string,
// json.Number, bool and nil.
func parseJSON(text []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	document, err := readJSON(d)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("text after the end of the document")
	}
	return document, nil
}

func readJSON(d *json.Decoder) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('{'):
		members := []jsonMember{}
		for d.More() {
			name, err := d.Token()
			if err != nil {
				return nil, err
			}
			value, err := readJSON(d)
			if err != nil {
				return nil, err
			}
			members = append(members, jsonMember{name.(string), value})
		}
		_, err := d.Token()
		return members, err
	case json.Delim('['):
		list := []any{}
		for d.More() {
			value, err := readJSON(d)
			if err != nil {
				return nil, err
			}
			list = append(list, value)
		}
		_, err := d.Token()
		return list, err
	}
	return token, nil
}

// jsonWriter writes a document in one style.
type jsonWriter struct {
	style  jsonStyle
	escape jsonEscape
	sorted bool
	out    bytes.Buffer
}

func (w *jsonWriter) write(value any, depth int) {
	switch v := value.(type) {
	case []jsonMember:
		if w.sorted {
			v = slices.Clone(v)
			slices.SortStableFunc(v, func(a, b jsonMember) int { return strings.Compare(a.name, b.name) })
		}
		w.list("{", "}", len(v), depth, func(i int) {
			w.text(v[i].name)
			w.out.WriteString(w.style.colon)
			w.write(v[i].value, depth+1)
		})
	case []any:
		w.list("[", "]", len(v), depth, func(i int) { w.write(v[i], depth+1) })
	case string:
		w.text(v)
	case json.Number:
		w.out.WriteString(string(v))
	case bool:
		w.out.WriteString(strconv.FormatBool(v))
	default:
		w.out.WriteString("null")
	}
}

func (w *jsonWriter) list(open, end string, n, depth int, element func(int)) {
	w.out.WriteString(open)
	for i := range n {
		if i > 0 {
			w.out.WriteString(w.style.comma)
		}
		w.newLine(depth + 1)
		element(i)
	}
	if n > 0 {
		w.newLine(depth)
	}
	w.out.WriteString(end)
}

func (w *jsonWriter) newLine(depth int) {
	if w.style.indent != "" {
		w.out.WriteString("\n" + strings.Repeat(w.style.indent, depth))
	}
}

func (w *jsonWriter) text(s string) {
	w.out.WriteByte('"')
	for _, c := range s {
		w.character(c)
	}
	w.out.WriteByte('"')
}

func (w *jsonWriter) character(c rune) {
	if strings.ContainsRune(w.escape.chars, c) {
		w.unicode(c)
		return
	}
	if short, ok := map[rune]string{'"': `\"`, '\\': `\\`, '\b': `\b`, '\f': `\f`, '\n': `\n`, '\r': `\r`, '\t': `\t`}[c]; ok {
		w.out.WriteString(short)
		return
	}
	switch {
	case c < 0x20, w.escape.ascii && c >= 0x7f:
		w.unicode(c)
	case c == '/' && w.escape.slash:
		w.out.WriteString(`\/`)
	default:
		w.out.WriteRune(c)
	}
}

// unicode writes a \u escape, or two of them.
func (w *jsonWriter) unicode(c rune) {
	format := `\u%04X`
	if w.escape.low {
		format = `\u%04x`
	}
	if c > 0xffff {
		c -= 0x10000
		fmt.Fprintf(&w.out, format+format, 0xd800+c>>10, 0xdc00+c&0x3ff)
		return
	}
	fmt.Fprintf(&w.out, format, c)
}
