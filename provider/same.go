package provider

import (
	"fmt"
	"slices"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// identity is how deliveries are identified in one way of signing.
type identity struct {
	hasID, idSigned bool
	distinction     *Distinction
	digestBody      bool
	families        []string
}

// describeSame says what makes two deliveries the same. Ways of signing that
// differ in it are named by their scheme.
func (p *Preset) describeSame() []string {
	if len(p.Variants) == 0 {
		return p.describeSchemes(p.Schemes, &p.Distinction, p.DigestBody)
	}
	var named []string
	var same [][]string
	for _, v := range p.Variants {
		distinction := &p.Distinction
		if v.Distinction != nil {
			distinction = v.Distinction
		}
		sentences := p.describeSchemes(v.Schemes, distinction, p.DigestBody || v.DigestBody)
		same = append(same, sentences)
		named = append(named, fmt.Sprintf("Scheme `%s`: %s", v.Name, strings.Join(sentences, " ")))
	}
	for _, sentences := range same[1:] {
		if !slices.Equal(sentences, same[0]) {
			return named
		}
	}
	return same[0]
}

// describeSchemes returns a sentence for each kind of scheme: GitLab signs the
// ID with one kind of secret, and not with the other.
func (p *Preset) describeSchemes(schemes []signature.Scheme, distinction *Distinction, digestBody bool) []string {
	way := identity{hasID: p.IDHelp != "" || p.OtherID != "", idSigned: p.IDSigned, distinction: distinction, digestBody: digestBody, families: p.Families}
	if len(schemes) == 0 {
		return []string{way.String()}
	}
	var sentences, named []string
	for _, s := range schemes {
		t := s.Covers()
		way.hasID, way.idSigned = t.HasID, t.IDSigned
		sentence := way.String()
		if slices.Contains(sentences, sentence) {
			continue
		}
		sentences = append(sentences, sentence)
		kind := "With a signature"
		if s.Algorithm == signature.Token || s.Algorithm == signature.Basic {
			kind = "With a token"
		}
		named = append(named, kind+": "+sentence)
	}
	if len(sentences) > 1 {
		return named
	}
	return sentences
}

// String is the sentence.
func (w identity) String() string {
	if w.hasID && w.idSigned {
		return "The same ID."
	}
	content := "the same content"
	if w.digestBody {
		content = "the same body"
	}
	if len(w.distinction.Varies) > 0 {
		content += " with the same " + andList(w.headers())
	}
	unique, repeated := w.ifUnique(content), w.ifRepeated(content)
	exceptions, usual, other := w.distinction.RepeatsWhen, unique, repeated
	if w.distinction.Content == ContentRepeats {
		exceptions, usual, other = w.distinction.UniqueWhen, repeated, unique
	}
	if len(exceptions) == 0 {
		return upperFirst(usual) + "."
	}
	return fmt.Sprintf("%s; with %s: %s.", upperFirst(usual), orList(exceptions), other)
}

func (w identity) ifUnique(content string) string {
	if w.hasID {
		return content + ", which under another ID is a replay"
	}
	return content
}

func (w identity) ifRepeated(content string) string {
	if w.hasID {
		return "the same ID with " + content + ", which under another ID is a new delivery"
	}
	return "none: there is no ID and content repeats, so every delivery is forwarded, copies too"
}

// headers are the names of those that vary.
func (w identity) headers() []string {
	var names []string
	for _, name := range w.distinction.Varies {
		if len(w.families) > 0 {
			name = strings.Replace(name, familyMark, w.families[0], 1)
		}
		names = append(names, "`"+name+"`")
	}
	return names
}

func andList(names []string) string {
	last := len(names) - 1
	if last == 0 {
		return names[0]
	}
	return strings.Join(names[:last], ", ") + " and " + names[last]
}

func orList(fields []signature.Field) string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = "`" + f.String() + "`"
	}
	last := len(names) - 1
	if last == 0 {
		return names[0]
	}
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

func upperFirst(text string) string { return strings.ToUpper(text[:1]) + text[1:] }
