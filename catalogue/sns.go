package catalogue

import (
	"context"
	"crypto"
	"crypto/rsa"
	_ "crypto/sha1" // SignatureVersion 1
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/provider/keyfetch"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// sns verifies messages of Amazon SNS: RSA over some members of the body, with a
// certificate that is fetched. SNS signs messages of every AWS account, so the config
// lists the topics. The hosts of certificates are derived from the topics, not from the
// message.
// https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
type sns struct {
	topics     map[string]signature.Identity
	hosts      map[string]string // by topic
	fetcher    *keyfetch.Fetcher
	configured [][]*x509.Certificate
	roots      *x509.CertPool
	confirm    func(*signature.Request) bool
	maxAge     time.Duration
	versions   map[string]crypto.Hash // by SignatureVersion
}

const (
	// snsTolerance is a little longer than SNS retries, which is an hour.
	snsTolerance = 65 * time.Minute
	snsMaxSkew   = 5 * time.Minute
)

func newSNS(m *provider.Module) (provider.Verifier, error) {
	s := &sns{topics: make(map[string]signature.Identity), hosts: make(map[string]string), confirm: m.AcceptsHandshake, maxAge: time.Duration(m.Tolerance)}
	var hosts []string
	for _, topic := range m.Resolved().Topics {
		host := snsHost(topic)
		if host == "" {
			return nil, fmt.Errorf("topic %q is not the ARN of an SNS topic: write it as arn:aws:sns:REGION:ACCOUNT:NAME", topic)
		}
		// A topic outlives the certificates that sign its messages.
		id := signature.Identity{Label: topic, Fingerprint: sha256.Sum256([]byte("verify_webhook sns topic\x00" + topic))}
		s.topics[topic], s.hosts[topic] = id, host
		hosts = append(hosts, host)
	}
	if s.maxAge == 0 {
		s.maxAge = snsTolerance
	}
	s.fetcher = keyfetch.Shared(hosts...)
	var err error
	if s.versions, err = snsVersions(m.Resolved().Algorithms); err != nil {
		return nil, err
	}
	if s.configured, err = configuredCertificates(m); err != nil {
		return nil, err
	}
	s.roots, err = rootPool(m)
	return s, err
}

// usesHost reports whether a configured topic is at this host.
func (s *sns) usesHost(host string) bool {
	for _, used := range s.hosts {
		if used == host {
			return true
		}
	}
	return false
}

// snsMessage is the body. Only strings are signed.
type snsMessage map[string]string

func (s *sns) CheckHeaders(*signature.Request) error { return nil }

func (s *sns) Verify(ctx context.Context, r *signature.Request) (*signature.Delivery, error) {
	body, err := wholeBody(r)
	if err != nil {
		return nil, err
	}
	msg, err := readSNS(body)
	if err != nil {
		return nil, err
	}
	sent, err := s.checkTime(msg["Timestamp"], r.Now)
	if err != nil {
		return nil, err
	}
	names, err := msg.signedNames()
	if err != nil {
		return nil, err
	}
	signed, err := s.checkSignature(ctx, msg, names, r.Now)
	if err != nil {
		return nil, err
	}
	// This check reads every byte, so the cheaper ones come first.
	if err := checkNames(body, snsMembers); err != nil {
		return nil, signature.Refuse(signature.Malformed, "%v", err)
	}
	// This is the last check, so that a sender without a valid signature cannot
	// discover which topics are configured.
	identity, ok := s.topics[msg["TopicArn"]]
	if !ok {
		return nil, signature.Refuse(signature.InvalidSignature, "the message is of a topic that is not configured")
	}
	d := &signature.Delivery{ID: msg["MessageId"], IDSigned: true, Event: msg["Type"], EventSigned: true, Timestamp: sent, TimestampSigned: true}
	if signed.hash != crypto.SHA256 {
		signed.sum = msg.hash(crypto.SHA256, names)
	}
	d.Matches = []signature.Match{{Secret: identity, Digest: signed.sum}}
	d.Contents = d.Matches // topics are not rotated
	if msg["Type"] != "SubscriptionConfirmation" {
		return d, nil
	}
	if !s.confirm(r) {
		d.Notice = "SNS asks to confirm the subscription of the topic: write accept_handshake while you subscribe"
		return d, nil
	}
	d.Answer, err = s.confirmSubscription(ctx, msg)
	return d, err
}

// snsVersions returns the signature versions that are accepted, all by default. SNS
// uses version 1 unless the topic has SignatureVersion 2.
func snsVersions(algorithms []string) (map[string]crypto.Hash, error) {
	all := map[string]crypto.Hash{"1": crypto.SHA1, "2": crypto.SHA256}
	if len(algorithms) == 0 {
		return all, nil
	}
	versions := make(map[string]crypto.Hash)
	for _, name := range algorithms {
		switch name {
		case "sha1":
			versions["1"] = all["1"]
		case "sha256":
			versions["2"] = all["2"]
		default:
			return nil, fmt.Errorf("unrecognized algorithm: %q; write sha256 or sha1", name)
		}
	}
	return versions, nil
}

// snsNames are the members of messages.
var snsNames = []string{
	"Type", "MessageId", "TopicArn", "Subject", "Message", "Timestamp", "SubscribeURL", "Token",
	"SignatureVersion", "Signature", "SigningCertURL", "UnsubscribeURL", "MessageAttributes",
}

var snsMembers = knownNames(0, snsNames...)

const (
	// snsSigned is the number of members that can be signed, the first of snsNames.
	snsSigned = 8
	// maxSNSName is the length of the longest name in bytes, if every character is
	// escaped.
	maxSNSName = longestEscape * len("MessageAttributes")
)

// readSNS reads the members that are strings. Names that appear twice or in another
// letter case, of which the app's parser might take the other one, are refused later.
func readSNS(body []byte) (snsMessage, error) {
	msg := make(snsMessage)
	for written, value := range jsonMembers(body) {
		if len(written) > maxSNSName {
			continue
		}
		name, ok := jsonString(written, true)
		if !ok || !slices.Contains(snsNames, name) {
			continue
		}
		text, ok := jsonString(value, false)
		switch {
		case ok:
			msg[name] = text
		case string(value) != "null" && slices.Contains(snsNames[:snsSigned], name):
			return nil, signature.Refuse(signature.Malformed, "the %s is not a string", name)
		}
	}
	if msg["Signature"] == "" && !json.Valid(body) {
		return nil, signature.Refuse(signature.Malformed, "the body is not one complete JSON document")
	}
	if msg["Signature"] == "" {
		return nil, signature.Refuse(signature.MissingSignature, "missing Signature in the message: raw message delivery is not signed, turn it off")
	}
	return msg, nil
}

// maxTimeText is longer than every valid time, in bytes.
const maxTimeText = 64

func (s *sns) checkTime(text string, now time.Time) (time.Time, error) {
	if len(text) > maxTimeText {
		text = "" // not a time
	}
	sent, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return sent, signature.Refuse(signature.Malformed, "the Timestamp is not an RFC 3339 time")
	}
	if age := now.Sub(sent); age > s.maxAge || age < -snsMaxSkew {
		return sent, signature.Refuse(signature.Stale, "published %s ago, which is more than the tolerance of %s", age.Round(time.Second), s.maxAge)
	}
	return sent, nil
}

// signedNames returns the names of the members that are signed. It refuses a message
// with members that are usually signed, but not for its Type.
func (m snsMessage) signedNames() ([]string, error) {
	var names []string
	switch m["Type"] {
	case "Notification":
		names = []string{"Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"}
	case "SubscriptionConfirmation", "UnsubscribeConfirmation":
		names = []string{"Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"}
	default:
		return nil, signature.Refuse(signature.Malformed, "unrecognized Type of the message")
	}
	for _, name := range snsNames[:snsSigned] {
		value, present := m[name]
		if present && !slices.Contains(names, name) {
			return nil, signature.Refuse(signature.Malformed, "the message has an unsigned %s, which messages of this Type do not have", name)
		}
		// Otherwise a line could be moved from one member to the next.
		if name != "Message" && strings.Contains(value, "\n") {
			return nil, signature.Refuse(signature.Malformed, "the %s has a line break", name)
		}
	}
	for _, name := range names {
		if _, present := m[name]; !present && name != "Subject" {
			return nil, signature.Refuse(signature.Malformed, "missing %s in the message", name)
		}
	}
	return names, nil
}

// hash returns the hash of the signed content.
func (m snsMessage) hash(kind crypto.Hash, names []string) []byte {
	h := kind.New()
	m.writeSigned(h, names)
	return h.Sum(nil)
}

// writeSigned writes the signed content, names and values on lines of their own, to a
// hash or a buffer, which never fail.
func (m snsMessage) writeSigned(w io.Writer, names []string) {
	for _, name := range names {
		value, present := m[name]
		if !present {
			continue
		}
		for _, text := range []string{name, "\n", value, "\n"} {
			writeText(w, text)
		}
	}
}

// writeText writes text in short pieces, because a hash copies each.
func writeText(w io.Writer, text string) {
	var buf [512]byte
	for len(text) > 0 {
		n := copy(buf[:], text)
		_, _ = w.Write(buf[:n])
		text = text[n:]
	}
}

// checkSignature verifies with the configured certificates, or with the one whose URL
// the message contains, if it is one of Amazon's. It returns the signed hash. Checks
// without the certificate come first, because any sender can write such a URL.
func (s *sns) checkSignature(ctx context.Context, msg snsMessage, names []string, now time.Time) (signedSum, error) {
	var none signedSum
	sig, err := rsaSignature(msg["Signature"])
	if err != nil {
		return none, err
	}
	kind, ok := s.versions[msg["SignatureVersion"]]
	if !ok {
		return none, signature.Refuse(signature.Malformed, "the SignatureVersion is not accepted")
	}
	host := snsHost(msg["TopicArn"])
	if host == "" || !snsCertURL(msg["SigningCertURL"], host) {
		return none, signature.Refuse(signature.Malformed, "the SigningCertURL is not Amazon's for this topic")
	}
	if !s.usesHost(host) {
		return none, signature.Refuse(signature.InvalidSignature, "the message is of a topic that is not configured")
	}
	chains := s.configured
	if len(chains) == 0 && !snsFetchedPath.MatchString(msg["SigningCertURL"]) {
		return none, signature.Refuse(signature.Malformed, "the SigningCertURL is not Amazon's for this topic")
	}
	if len(chains) == 0 {
		raw, err := s.fetcher.Get(ctx, keyfetch.Request{URL: msg["SigningCertURL"]})
		if err != nil {
			return none, fmt.Errorf("fetching SNS's certificate: %w", err)
		}
		chain, err := parseCertificates(raw)
		if err != nil {
			return none, fmt.Errorf("parsing SNS's certificate: %w", err)
		}
		chains = append(chains, chain)
	}
	signed := signedSum{kind, msg.hash(kind, names), sig}
	return signed, s.tryChains(chains, snsCertNames(msg["TopicArn"]), signed, now)
}

// rsaSignature decodes a signature. Its length must be that of an RSA key of an
// accepted size.
func rsaSignature(text string) ([]byte, error) {
	const shortest, longest = 1024 / 8, 8192 / 8
	if len(text) > base64.StdEncoding.EncodedLen(longest) || strings.ContainsAny(text, "\r\n") {
		return nil, signature.Refuse(signature.Malformed, "the signature is not base64, or is too long")
	}
	sig, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(sig) < shortest {
		return nil, signature.Refuse(signature.Malformed, "the signature is not base64, or is too short")
	}
	return sig, nil
}

// signedSum is a hash with its unverified signature.
type signedSum struct {
	hash     crypto.Hash
	sum, sig []byte
}

func (s *sns) tryChains(chains [][]*x509.Certificate, names []string, signed signedSum, now time.Time) error {
	refusal := signature.Refuse(signature.InvalidSignature, "signature mismatch: the message was modified in transit")
	for _, chain := range chains {
		if err := s.trust(chain, names, now); err != nil {
			refusal = err
			continue
		}
		public, ok := chain[0].PublicKey.(*rsa.PublicKey)
		if ok && rsa.VerifyPKCS1v15(public, signed.hash, signed.sum, signed.sig) == nil {
			return nil
		}
	}
	return refusal
}

// trust refuses a certificate that is not SNS's. Amazon serves it without intermediate
// certificates. So without configured roots, it is trusted because it was fetched from
// Amazon's host over TLS, and only its name and dates are checked.
func (s *sns) trust(chain []*x509.Certificate, names []string, now time.Time) error {
	cert := chain[0]
	if err := checkCertName(cert, names); err != nil {
		return err
	}
	if now.Before(cert.NotBefore) || now.After(cert.NotAfter) {
		return signature.Refuse(signature.InvalidSignature, "the certificate is valid from %s until %s only", cert.NotBefore.UTC().Format(time.RFC3339), cert.NotAfter.UTC().Format(time.RFC3339))
	}
	if s.roots == nil {
		return nil
	}
	if err := checkChain(chain, s.roots, "", now); err != nil {
		return signature.Refuse(signature.InvalidSignature, "the certificate does not chain to a configured root: %v", err)
	}
	return nil
}

var snsCertPath = regexp.MustCompile(`^/SimpleNotificationService-[0-9a-f]{10,64}\.pem$`)

// snsFetchedPath matches the paths that are fetched: Amazon's names have 32 digits.
var snsFetchedPath = regexp.MustCompile(`/SimpleNotificationService-[0-9a-f]{32}\.pem$`)

func snsCertURL(text, host string) bool {
	if len(text) > maxCertURL {
		return false
	}
	u, err := url.Parse(text)
	return err == nil && u.Scheme == "https" && u.Host == host && u.User == nil && u.RawQuery == "" && u.Fragment == "" && u.RawPath == "" && snsCertPath.MatchString(u.Path) &&
		text == "https://"+host+u.Path
}

// confirmSubscription requests SubscribeURL, which must be Amazon's for this topic.
// The operator has allowed it with accept_handshake.
func (s *sns) confirmSubscription(ctx context.Context, msg snsMessage) (*signature.Answer, error) {
	u, err := url.Parse(msg["SubscribeURL"])
	if err != nil || u.Scheme != "https" || u.Host != s.hosts[msg["TopicArn"]] || u.User != nil || u.Path != "/" ||
		!slices.Equal(u.Query()["Action"], []string{"ConfirmSubscription"}) || !slices.Equal(u.Query()["TopicArn"], []string{msg["TopicArn"]}) {
		return nil, signature.Refuse(signature.Malformed, "the SubscribeURL does not confirm this topic at Amazon")
	}
	if _, err := s.fetcher.Get(ctx, keyfetch.Request{URL: msg["SubscribeURL"], Verified: true}); err != nil {
		return nil, fmt.Errorf("confirming the subscription: %w", err)
	}
	return emptyAnswer(http.StatusOK), nil
}

func (s *sns) Coverage() signature.Coverage {
	return signature.Coverage{HasID: true, IDSigned: true, HasEvent: true, EventSigned: true, HasTimestamp: true, TimestampSigned: true, Tolerance: s.maxAge, Lifetime: s.maxAge + snsMaxSkew}
}

func (s *sns) Secrets() []signature.Identity {
	var ids []signature.Identity
	for _, id := range s.topics {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b signature.Identity) int { return strings.Compare(a.Label, b.Label) })
	return ids
}
