package provider

import (
	"context"
	"crypto"
	"crypto/rsa"
	_ "crypto/sha1" // SignatureVersion 1
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/provider/keyfetch"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// sns verifies Amazon SNS messages: RSA over the members that mean something,
// with a certificate that is fetched. Anybody with an AWS account can have SNS
// sign a message, so the topics are listed in the config, and from them, not
// from the message, follow the hosts to fetch from.
// https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
type sns struct {
	topics     map[string]signature.Identity
	hosts      map[string]string // by topic
	fetcher    *keyfetch.Fetcher
	configured [][]*x509.Certificate
	roots      *x509.CertPool
	confirm    bool
	maxAge     time.Duration
	versions   map[string]crypto.Hash // by SignatureVersion
}

const (
	// snsTolerance is as long as SNS tries, an hour, and some more.
	snsTolerance = 65 * time.Minute
	snsMaxSkew   = 5 * time.Minute
)

var snsTopic = regexp.MustCompile(`^arn:(aws|aws-cn|aws-us-gov):sns:([a-z]{2}(?:-[a-z]+)+-\d):\d{12}:[A-Za-z0-9_.-]{1,256}$`)

func newSNS(m *Module) (verifier, error) {
	s := &sns{topics: make(map[string]signature.Identity), hosts: make(map[string]string), confirm: m.set.AcceptHandshake, maxAge: m.tolerance()}
	var hosts []string
	for _, topic := range m.set.Topics {
		host := snsHost(topic)
		if host == "" {
			return nil, fmt.Errorf("topic %q is not the ARN of an SNS topic: write it as arn:aws:sns:REGION:ACCOUNT:NAME", topic)
		}
		// Keys stay the same over the years that certificates do not.
		id := signature.Identity{Label: topic, Fingerprint: sha256.Sum256([]byte("verify_webhook sns topic\x00" + topic))}
		s.topics[topic], s.hosts[topic] = id, host
		hosts = append(hosts, host)
	}
	if s.maxAge == 0 {
		s.maxAge = snsTolerance
	}
	s.fetcher = keyfetch.New(nil, hosts...)
	var err error
	if s.versions, err = snsVersions(m.set.Algorithms); err != nil {
		return nil, err
	}
	if s.configured, err = m.configuredCertificates(); err != nil {
		return nil, err
	}
	s.roots, err = m.rootPool()
	return s, err
}

// snsHost returns the host of SNS in a topic's region, empty if the topic is
// none.
func snsHost(topic string) string {
	parts := snsTopic.FindStringSubmatch(topic)
	if parts == nil {
		return ""
	}
	host := "sns." + parts[2] + ".amazonaws.com"
	if parts[1] == "aws-cn" {
		host += ".cn"
	}
	return host
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

func (s *sns) checkHeaders(*signature.Request) error { return nil }

func (s *sns) verify(ctx context.Context, r *signature.Request) (*signature.Delivery, error) {
	msg, err := readSNS(r)
	if err != nil {
		return nil, err
	}
	sent, err := s.checkTime(msg["Timestamp"], r.Now)
	if err != nil {
		return nil, err
	}
	content, err := msg.signedContent()
	if err != nil {
		return nil, err
	}
	if err := s.checkSignature(ctx, msg, content, r.Now); err != nil {
		return nil, err
	}
	// Last: until here the response does not depend on which topics are
	// configured, so that nobody can find them out.
	identity, ok := s.topics[msg["TopicArn"]]
	if !ok {
		return nil, signature.Refuse(signature.InvalidSignature, "the message is of a topic that is not configured")
	}
	digest := sha256.Sum256([]byte(content))
	d := &signature.Delivery{ID: msg["MessageId"], IDSigned: true, Event: msg["Type"], EventSigned: true, Timestamp: sent, TimestampSigned: true}
	d.Matches = []signature.Match{{Secret: identity, Digest: digest[:]}}
	d.Contents = d.Matches // a topic is no secret that another could replace
	if s.confirm && msg["Type"] == "SubscriptionConfirmation" {
		d.Answer, err = s.confirmSubscription(ctx, msg)
	}
	return d, err
}

// snsVersions returns the signature versions that may be used. Version 1 is
// what SNS uses unless the topic says otherwise.
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
			return nil, fmt.Errorf("algorithm %q is none of SNS: write sha256 or sha1", name)
		}
	}
	return versions, nil
}

// snsNames are the members that mean something.
var snsNames = []string{
	"Type", "MessageId", "TopicArn", "Subject", "Message", "Timestamp", "SubscribeURL", "Token",
	"SignatureVersion", "Signature", "SigningCertURL", "UnsubscribeURL", "MessageAttributes",
}

var snsMembers = knownNames(0, snsNames...)

// snsSigned is how many of them can be signed.
const snsSigned = 8

// readSNS reads the members that are strings. A name that comes twice, or in
// other letters, is refused: the app's parser might take the other one.
func readSNS(r *signature.Request) (snsMessage, error) {
	body, err := wholeBody(r)
	if err != nil {
		return nil, err
	}
	if err := checkNames(body, snsMembers); err != nil {
		return nil, signature.Refuse(signature.Malformed, "%v", err)
	}
	var members map[string]any
	if err := json.Unmarshal(body, &members); err != nil {
		return nil, signature.Refuse(signature.Malformed, "the body is not an SNS message; raw message delivery is not signed, turn it off")
	}
	msg := make(snsMessage, len(members))
	for name, value := range members {
		text, ok := value.(string)
		switch {
		case ok:
			msg[name] = text
		case value != nil && slices.Contains(snsNames[:snsSigned], name):
			return nil, signature.Refuse(signature.Malformed, "the %s is not a string", name)
		}
	}
	if msg["Signature"] == "" {
		return nil, signature.Refuse(signature.MissingSignature, "the message has no Signature; raw message delivery is not signed, turn it off")
	}
	return msg, nil
}

func (s *sns) checkTime(text string, now time.Time) (time.Time, error) {
	sent, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return sent, signature.Refuse(signature.Malformed, "the Timestamp is not an RFC 3339 time")
	}
	if age := now.Sub(sent); age > s.maxAge || age < -snsMaxSkew {
		return sent, signature.Refuse(signature.Stale, "published %s ago, which is more than the tolerance of %s", age.Round(time.Second), s.maxAge)
	}
	return sent, nil
}

// signedContent spells what is signed: name and value, each on its line.
func (m snsMessage) signedContent() (string, error) {
	var names []string
	switch m["Type"] {
	case "Notification":
		names = []string{"Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"}
	case "SubscriptionConfirmation", "UnsubscribeConfirmation":
		names = []string{"Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"}
	default:
		return "", signature.Refuse(signature.Malformed, "the message is of a Type that SNS does not have")
	}
	for _, name := range snsNames[:snsSigned] {
		value, present := m[name]
		if present && !slices.Contains(names, name) {
			return "", signature.Refuse(signature.Malformed, "a message of this Type has no %s, and it would not be signed", name)
		}
		// What begins each next line could be moved into the one before.
		if name != "Message" && strings.Contains(value, "\n") {
			return "", signature.Refuse(signature.Malformed, "the %s has a line break", name)
		}
	}
	var b strings.Builder
	for _, name := range names {
		value, present := m[name]
		if !present && name != "Subject" {
			return "", signature.Refuse(signature.Malformed, "the message has no %s", name)
		}
		if present {
			b.WriteString(name + "\n" + value + "\n")
		}
	}
	return b.String(), nil
}

// checkSignature verifies with the configured certificates, or with the one
// that the message names, if Amazon can have put it there.
func (s *sns) checkSignature(ctx context.Context, msg snsMessage, content string, now time.Time) error {
	sig, err := base64.StdEncoding.Strict().DecodeString(msg["Signature"])
	if err != nil || strings.ContainsAny(msg["Signature"], "\r\n") {
		return signature.Refuse(signature.Malformed, "the Signature is not base64")
	}
	hash, ok := s.versions[msg["SignatureVersion"]]
	if !ok {
		return signature.Refuse(signature.Malformed, "the SignatureVersion is none that is accepted here")
	}
	host := snsHost(msg["TopicArn"])
	if host == "" || !snsCertURL(msg["SigningCertURL"], host) {
		return signature.Refuse(signature.Malformed, "the SigningCertURL is none that Amazon uses for this topic")
	}
	if !s.usesHost(host) {
		return signature.Refuse(signature.InvalidSignature, "the message is of a topic that is not configured")
	}
	chains := s.configured
	if len(chains) == 0 {
		raw, err := s.fetcher.Get(ctx, keyfetch.Request{URL: msg["SigningCertURL"]})
		if err != nil {
			return fmt.Errorf("getting the certificate of SNS: %w", err)
		}
		chain, err := parseCertificates(raw)
		if err != nil {
			return fmt.Errorf("reading the certificate of SNS: %w", err)
		}
		chains = append(chains, chain)
	}
	h := hash.New()
	h.Write([]byte(content))
	return s.tryChains(chains, hash, h.Sum(nil), sig, now)
}

func (s *sns) tryChains(chains [][]*x509.Certificate, hash crypto.Hash, sum, sig []byte, now time.Time) error {
	for _, chain := range chains {
		if err := s.trust(chain, now); err != nil {
			continue
		}
		public, ok := chain[0].PublicKey.(*rsa.PublicKey)
		if ok && rsa.VerifyPKCS1v15(public, hash, sum, sig) == nil {
			return nil
		}
	}
	return signature.Refuse(signature.InvalidSignature, "no certificate that can be trusted made this signature")
}

// trust checks a certificate. Amazon serves its own without those in between,
// so where no roots are configured, TLS to Amazon's host vouches for it, and
// name and dates are checked.
func (s *sns) trust(chain []*x509.Certificate, now time.Time) error {
	const name = "sns.amazonaws.com"
	if s.roots != nil {
		return checkChain(chain, s.roots, name, now)
	}
	if now.Before(chain[0].NotBefore) || now.After(chain[0].NotAfter) {
		return errors.New("the certificate is not valid now")
	}
	return chain[0].VerifyHostname(name)
}

var snsCertPath = regexp.MustCompile(`^/SimpleNotificationService-[0-9a-f]{10,64}\.pem$`)

func snsCertURL(text, host string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Scheme == "https" && u.Host == host && u.User == nil && u.RawQuery == "" && u.Fragment == "" && u.RawPath == "" && snsCertPath.MatchString(u.Path) &&
		text == "https://"+host+u.Path
}

// confirmSubscription gets SubscribeURL, which the operator has asked for, and
// which must be one of Amazon's for this very topic.
func (s *sns) confirmSubscription(ctx context.Context, msg snsMessage) (*signature.Answer, error) {
	u, err := url.Parse(msg["SubscribeURL"])
	if err != nil || u.Scheme != "https" || u.Host != s.hosts[msg["TopicArn"]] || u.User != nil || u.Path != "/" ||
		!slices.Equal(u.Query()["Action"], []string{"ConfirmSubscription"}) || !slices.Equal(u.Query()["TopicArn"], []string{msg["TopicArn"]}) {
		return nil, signature.Refuse(signature.Malformed, "the SubscribeURL does not confirm this topic at Amazon")
	}
	if _, err := s.fetcher.Get(ctx, keyfetch.Request{URL: msg["SubscribeURL"]}); err != nil {
		return nil, fmt.Errorf("confirming the subscription: %w", err)
	}
	return emptyAnswer(http.StatusOK), nil
}

func (s *sns) traits() signature.Traits {
	return signature.Traits{HasID: true, IDSigned: true, HasEvent: true, EventSigned: true, HasTimestamp: true, TimestampSigned: true, Tolerance: s.maxAge, Lifetime: s.maxAge + snsMaxSkew}
}

func (s *sns) secrets() []signature.Identity {
	var ids []signature.Identity
	for _, id := range s.topics {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b signature.Identity) int { return strings.Compare(a.Label, b.Label) })
	return ids
}
