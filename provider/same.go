package provider

import (
	"fmt"
	"slices"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// identity says how deliveries of one signing method are identified.
type identity struct {
	hasID, idSigned bool
	distinction     *Distinction
	digestBody      bool
	alsoContent     bool
	families        []string
}

// describeSame says which deliveries count as the same. Signing methods that differ
// are named by their scheme.
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
		named = append(named, fmt.Sprintf("With scheme `%s`: %s", v.Name, strings.Join(sentences, " ")))
	}
	for _, sentences := range same[1:] {
		if !slices.Equal(sentences, same[0]) {
			return named
		}
	}
	return same[0]
}

// describeSchemes returns a sentence for each kind of scheme. For example, GitLab
// signs the ID with one kind of secret and not with the other.
func (p *Preset) describeSchemes(schemes []signature.Scheme, distinction *Distinction, digestBody bool) []string {
	way := identity{hasID: p.IDHelp != "" || p.OtherID != "", idSigned: p.IDSigned, distinction: distinction, digestBody: digestBody, alsoContent: p.AlsoContent, families: p.Families}
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

// String returns the sentence, and a second one if some deliveries differ.
func (w identity) String() string {
	if w.hasID && w.idSigned && w.alsoContent {
		return "Deliveries with the same ID are the same, and so are those with equal bodies."
	}
	if w.hasID && w.idSigned {
		return "Deliveries with the same ID are the same."
	}
	equal := "equal content"
	if w.digestBody {
		equal = "equal bodies"
	}
	if len(w.distinction.Varies) > 0 {
		equal += " and equal " + list(w.headers(), "and")
	}
	exceptions, usual, other := w.distinction.RepeatsWhen, w.ifUnique(equal), w.ifRepeated(equal)
	if w.distinction.Content == ContentRepeats {
		exceptions, usual, other = w.distinction.UniqueWhen, other, usual
	}
	if len(exceptions) == 0 {
		return upperFirst(usual) + "."
	}
	names := make([]string, len(exceptions))
	for i, f := range exceptions {
		names[i] = "`" + f.String() + "`"
	}
	return fmt.Sprintf("%s. If a delivery has %s, %s.", upperFirst(usual), list(names, "or"), other)
}

func (w identity) ifUnique(equal string) string {
	if w.hasID {
		return "deliveries with " + equal + " are the same, and one under another ID is a replay"
	}
	return "deliveries with " + equal + " are the same"
}

func (w identity) ifRepeated(equal string) string {
	if w.hasID {
		return "deliveries with the same ID and " + equal + " are the same, and one under another ID is a new delivery"
	}
	return "every delivery is forwarded, copies included, because content repeats and there is no ID"
}

// headers returns the names of the headers that vary.
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

// list joins names with commas and, before the last one, a word.
func list(names []string, word string) string {
	last := len(names) - 1
	if last == 0 {
		return names[0]
	}
	return strings.Join(names[:last], ", ") + " " + word + " " + names[last]
}

func upperFirst(text string) string { return strings.ToUpper(text[:1]) + text[1:] }
