package provider

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// Description describes a preset for users.
type Description struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	// Kind is the kind of product.
	Kind string `json:"kind,omitempty"`
	// Lines are the lines to write in the Caddyfile.
	Lines []string `json:"lines,omitempty"`
	// Secret says where to find the secret.
	Secret string `json:"secret,omitempty"`
	// Signed says what is signed and how, one entry for each signing method.
	Signed []string `json:"signed,omitempty"`
	// ID says where the delivery ID is, and whether it is signed.
	ID string `json:"id,omitempty"`
	// Same says which deliveries count as the same, one sentence for each signing
	// method that differs.
	Same []string `json:"same,omitempty"`
	// Window is the default time for which handled deliveries are remembered.
	Window string `json:"window,omitempty"`
	// Handshake lists the proof-of-ownership requests that are answered, or is empty.
	Handshake string `json:"handshake,omitempty"`
	// Retries says whether retries are signed with a new time. It is empty if no time
	// is signed.
	Retries string `json:"retries,omitempty"`
	// RetriesSource is the source of Retries.
	RetriesSource string `json:"retries_source,omitempty"`
	// Unsupported says which requests from the provider are not verified.
	Unsupported string `json:"unsupported,omitempty"`
	// Tolerance is the default difference allowed between a signed time and now. It is
	// empty if no time is signed.
	Tolerance string `json:"tolerance,omitempty"`
	// Tests describes test deliveries that are not signed with the endpoint's secret,
	// one sentence for each.
	Tests []string `json:"tests,omitempty"`
	// Weak lists what an attacker can still do or change.
	Weak []string `json:"weak,omitempty"`
	// TokenHeaders are the headers that contain the secret.
	TokenHeaders []string `json:"token_headers,omitempty"`
	// Options are the options other than secret, tolerance and public_url.
	Options []DescribedOption `json:"options,omitempty"`
	// Docs is the provider's page on verifying its webhooks.
	Docs string `json:"docs,omitempty"`
}

// DescribedOption is an option of a provider.
type DescribedOption struct {
	Syntax string `json:"syntax"`
	Help   string `json:"help"`
}

// Describe returns the description of a preset.
func (p *Preset) Describe() Description {
	d := Description{Name: p.Name, Title: p.Title, Kind: p.Kind, Secret: p.SecretHelp, Window: days(p.Window), Docs: p.Docs}
	d.Lines = p.lines()
	schemes := p.allSchemes()
	if p.Signs != "" {
		d.Signed = []string{p.Signs}
	}
	for i := range schemes {
		if text := describeSigned(&schemes[i]); p.Signs == "" && !slices.Contains(d.Signed, text) {
			d.Signed = append(d.Signed, text)
		}
	}
	d.Handshake = p.describeHandshakes(schemes)
	d.TokenHeaders = tokenHeaders(schemes)
	for i := range p.Tests {
		d.Tests = append(d.Tests, p.Tests[i].describe())
	}
	p.describeCoverage(&d, schemes)
	d.Same = p.describeSame()
	d.Retries, d.RetriesSource, d.Unsupported, d.Tolerance = p.describeRetries(), p.Retries.Source, p.Unsupported, p.describeTolerance()
	p.describeOptions(&d)
	return d
}

func days(window time.Duration) string { return fmt.Sprintf("%dd", window/day) }

// lines returns the lines to write in the Caddyfile: a single line, or a block if
// options are required.
func (p *Preset) lines() []string {
	line := "verify_webhook " + p.Name
	if !p.NoSecret {
		line += " {env." + strings.NewReplacer("-", "_", ".", "_").Replace(strings.ToUpper(p.Name)) + "_SECRET}"
	}
	if len(p.Needs) == 0 {
		return []string{line}
	}
	lines := []string{line + " {"}
	for _, name := range p.Needs {
		lines = append(lines, "\t"+presetOptionNamed(name).syntax())
	}
	return append(lines, "}")
}

func (t *presetOption) syntax() string { return strings.TrimSpace(t.name + " " + t.value) }

// withPrefix returns text with a prefix, or "" if text is empty.
func withPrefix(prefix, text string) string {
	if text == "" {
		return ""
	}
	return prefix + text
}

// describeSigned returns what a scheme signs and how.
func describeSigned(s *signature.Scheme) string {
	switch s.Algorithm {
	case signature.Token:
		return "nothing: the secret itself is sent"
	case signature.Basic:
		return "nothing: user and password are sent"
	}
	content := s.Signed
	if content == "" {
		content = "{body}"
	}
	return fmt.Sprintf("%s of `%s`", s.Algorithm, content)
}

// describeHandshakes returns the handshakes that are answered.
func (p *Preset) describeHandshakes(schemes []signature.Scheme) string {
	var all []string
	if p.Handshakes != "" {
		all = append(all, p.Handshakes)
	}
	for i := range schemes {
		for j := range schemes[i].Handshakes {
			if text := describeHandshake(&schemes[i].Handshakes[j]); !slices.Contains(all, text) {
				all = append(all, text)
			}
		}
	}
	if p.SecretLater {
		all = append(all, "with `accept_handshake`, the endpoint starts without a secret")
	}
	return strings.Join(all, "; ")
}

func describeHandshake(h *signature.Handshake) string {
	switch h.Kind {
	case signature.HandshakeHead:
		return "HEAD"
	case signature.HandshakeGet:
		return "GET without a signature"
	case signature.HandshakeEcho:
		return "GET with `" + h.Field().String() + "`"
	case signature.HandshakePing:
		return "an unsigned POST with `" + h.Field().String() + "` `" + h.Value + "`"
	case signature.HandshakeSecret:
		return "an unsigned POST with the secret in `" + h.Field().String() + "`, while `accept_handshake` is set: `caddy verify-webhook handshakes` shows it"
	case signature.HandshakeCloudEvents:
		return "OPTIONS with WebHook-Request-Origin, for each `allowed_origin`"
	}
	return ""
}

// describeCoverage says which parts of a delivery are signed. Presets with Code say so
// themselves.
func (p *Preset) describeCoverage(d *Description, schemes []signature.Scheme) {
	d.ID = p.describeCodedID()
	if len(schemes) > 0 {
		t := schemes[0].Covers()
		d.ID = p.describeID(&schemes[0], t)
		if t.HasEvent && !t.EventSigned && !t.BodySigned {
			d.Weak = append(d.Weak, "the event type is unsigned")
		} else if t.HasEvent && !t.EventSigned {
			d.Weak = append(d.Weak, "the event type is an unsigned header")
		}
		if !t.TimestampSigned {
			d.Weak = append(d.Weak, "no time is signed: a delivery can be replayed after the window")
		}
	}
	weaknesses := []string{p.Weakness}
	for _, m := range p.Variants {
		if m.Weakness != "" {
			weaknesses = append(weaknesses, "scheme "+m.Name+": "+m.Weakness)
		}
	}
	for _, text := range slices.Backward(weaknesses) {
		if text != "" {
			d.Weak = slices.Insert(d.Weak, 0, text)
		}
	}
}

func (p *Preset) describeID(s *signature.Scheme, t signature.Coverage) string {
	if s.ID == nil {
		return ""
	}
	place := s.ID.String()
	if len(p.Families) > 0 {
		place = strings.ReplaceAll(place, familyMark, p.Families[0])
	}
	return p.withOtherID("`"+place+"`", t.IDSigned)
}

// describeCodedID returns where a preset with Code finds its ID.
func (p *Preset) describeCodedID() string {
	if p.IDHelp == "" && p.OtherID == "" {
		return ""
	}
	return p.withOtherID(p.IDHelp, p.IDSigned)
}

// withOtherID adds the alternative place of the ID, and whether it is signed.
func (p *Preset) withOtherID(place string, signed bool) string {
	switch {
	case p.OtherID != "" && place != "":
		place += " or "
		fallthrough
	case p.OtherID != "":
		place += "`header " + p.OtherID + "`"
	}
	if !signed {
		place += ", unsigned"
	}
	return place
}

func (p *Preset) describeOptions(d *Description) {
	for i := range presetOptions {
		t := &presetOptions[i]
		if !slices.Contains(p.Takes, t.name) && !slices.Contains(p.Needs, t.name) {
			continue
		}
		help := t.help
		if t.name == "scheme" {
			help += p.describeVariants()
		}
		syntax := t.syntax()
		if t.name == "environment" {
			syntax = t.name + " " + strings.Join(p.allEnvironments(), "|")
		}
		d.Options = append(d.Options, DescribedOption{syntax, help})
	}
}

func (p *Preset) describeVariants() string {
	var b strings.Builder
	for _, m := range p.Variants {
		fmt.Fprintf(&b, "; `%s`: %s", m.Name, m.Help)
	}
	return b.String()
}

// Text returns the description of a preset for a terminal.
func (d Description) Text(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s)\n\n", d.Title, d.Name)
	for _, line := range d.Lines {
		b.WriteString("\t" + line + "\n")
	}
	b.WriteString("\n")
	for _, row := range [][2]string{
		{"Secret", d.Secret},
		{"Signed", strings.Join(d.Signed, "; ")},
		{"Delivery ID", d.ID},
		{"Same delivery", strings.Join(d.Same, " ")},
		{"Window", d.Window},
		{"Tolerance", d.Tolerance},
		{"Retries", withPrefix("signed with a new time: ", d.Retries)},
		{"", d.RetriesSource},
		{"Handshake", d.Handshake},
		{"Tests", strings.Join(d.Tests, "; ")},
		{"Weak points", strings.Join(d.Weak, "; ")},
		{"Not supported", d.Unsupported},
		{"Documentation", d.Docs},
	} {
		if row[1] != "" {
			label := row[0] + ":"
			if row[0] == "" {
				label = "" // continues the row above
			}
			fmt.Fprintf(&b, "%-15s %s\n", label, row[1])
		}
	}
	if len(d.TokenHeaders) > 0 {
		fmt.Fprintf(&b, "%-14s %s contains the secret: it is not forwarded; use a log filter to keep it out of logs\n", "Secret in:", strings.Join(d.TokenHeaders, ", "))
	}
	for _, o := range d.Options {
		fmt.Fprintf(&b, "%-15s %s: %s\n", "Option:", o.Syntax, o.Help)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
