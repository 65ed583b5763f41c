package catalogue

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"hash/crc32"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// Certificates that are made up are valid for all time that anybody tests with.
var (
	madeUpNotBefore = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	madeUpNotAfter  = time.Date(2099, 12, 31, 23, 59, 59, 0, time.UTC)
)

// madeUp is a template for a certificate.
func madeUp(name string, ca bool) *x509.Certificate {
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name, Organization: []string{"Made up for tests"}},
		NotBefore: madeUpNotBefore, NotAfter: madeUpNotAfter,
		BasicConstraintsValid: true, IsCA: ca, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	if ca {
		c.KeyUsage |= x509.KeyUsageCertSign
	} else {
		c.DNSNames = []string{name}
	}
	return c
}

func inPEM(der []byte) string {
	return strings.TrimSpace(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
}

// selfSigned is a certificate for name in PEM.
func selfSigned(name string, private crypto.Signer) (string, error) {
	template := madeUp(name, false)
	template.IsCA, template.KeyUsage = true, template.KeyUsage|x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	return inPEM(der), err
}

// trustSNS: without roots, a configured certificate is trusted as it is.
func trustSNS(m *provider.Module, key signature.SigningKey) (provider.Trust, error) {
	if snsHost(m.Resolved().Topics[0]) == "" {
		return provider.Trust{}, fmt.Errorf("topic %q is not the ARN of an SNS topic: write it as arn:aws:sns:REGION:ACCOUNT:NAME", m.Resolved().Topics[0])
	}
	text, err := selfSigned("sns.amazonaws.com", key.Private)
	trust := provider.Trust{Certificates: []string{text}}
	if len(m.Resolved().Roots) > 0 {
		trust.Roots = []string{text}
	}
	return trust, err
}

// snsEnvelope is a message in the order of SNS's own.
type snsEnvelope struct {
	Type             string `json:"Type"`
	MessageID        string `json:"MessageId"`
	Token            string `json:"Token,omitempty"`
	TopicArn         string `json:"TopicArn"`
	Subject          string `json:"Subject,omitempty"`
	Message          string `json:"Message"`
	SubscribeURL     string `json:"SubscribeURL,omitempty"`
	Timestamp        string `json:"Timestamp"`
	SignatureVersion string `json:"SignatureVersion"`
	Signature        string `json:"Signature"`
	SigningCertURL   string `json:"SigningCertURL"`
	UnsubscribeURL   string `json:"UnsubscribeURL,omitempty"`
}

// signSNS signs a message of SNS. Another body becomes the text of one.
func signSNS(m *provider.Module, r *signature.Request, key signature.SigningKey, d signature.Draft) error {
	var e snsEnvelope
	if json.Unmarshal(r.Body.Bytes(), &e) != nil || e.MessageID == "" {
		e = snsEnvelope{Message: string(r.Body.Bytes())}
	}
	topic := m.Resolved().Topics[0]
	id, err := idOrDerived(r, d)
	if err != nil {
		return err
	}
	if d.ID != "" || e.MessageID == "" {
		e.MessageID = id
	}
	if d.Event != "" {
		e.Type = d.Event
	}
	if e.Type == "" {
		e.Type = "Notification"
	}
	e.TopicArn, e.Timestamp = topic, d.Time.UTC().Format("2006-01-02T15:04:05.000Z")
	if e.SigningCertURL, err = madeUpCertificateURL(topic, key); err != nil {
		return err
	}
	e.UnsubscribeURL = ""
	e.SignatureVersion = "2"
	versions, err := snsVersions(m.Resolved().Algorithms)
	if err != nil {
		return err
	}
	if versions["2"] == 0 {
		e.SignatureVersion = "1"
	}
	if e.Signature, err = e.sign(key.Private); err != nil {
		return err
	}
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(e); err != nil {
		return err
	}
	r.Body = signature.BytesBody(bytes.TrimSpace(body.Bytes()))
	r.Header.Set("Content-Type", "text/plain; charset=UTF-8") // as SNS does
	r.Header.Set("X-Amz-Sns-Message-Type", e.Type)
	r.Header.Set("X-Amz-Sns-Message-Id", e.MessageID)
	r.Header.Set("X-Amz-Sns-Topic-Arn", e.TopicArn)
	return nil
}

// madeUpCertificateURL is where SNS would have the certificate: each has its own
// name.
func madeUpCertificateURL(topic string, key signature.SigningKey) (string, error) {
	public, err := x509.MarshalPKIXPublicKey(key.Private.Public())
	sum := sha256.Sum256(public)
	return fmt.Sprintf("https://%s/SimpleNotificationService-%x.pem", snsHost(topic), sum[:16]), err
}

func (e snsEnvelope) sign(private crypto.Signer) (string, error) {
	msg := snsMessage{"Type": e.Type, "MessageId": e.MessageID, "TopicArn": e.TopicArn, "Message": e.Message, "Timestamp": e.Timestamp}
	for name, value := range map[string]string{"Subject": e.Subject, "Token": e.Token, "SubscribeURL": e.SubscribeURL} {
		if value != "" {
			msg[name] = value
		}
	}
	kind := crypto.SHA256
	if e.SignatureVersion == "1" {
		kind = crypto.SHA1
	}
	names, err := msg.signedNames()
	if err != nil {
		return "", err
	}
	sig, err := private.Sign(rand.Reader, msg.hash(kind, names), kind)
	return base64.StdEncoding.EncodeToString(sig), err
}

// payPalEnvironment returns the host of the certificates and the name in them.
func payPalEnvironment(m *provider.Module) (host, name string) {
	if m.Resolved().Environment == "sandbox" {
		return "api.sandbox.paypal.com", "messageverificationcerts.sandbox.paypal.com"
	}
	return "api.paypal.com", "messageverificationcerts.paypal.com"
}

// trustPayPal: a certificate that is its own root.
func trustPayPal(m *provider.Module, key signature.SigningKey) (provider.Trust, error) {
	_, name := payPalEnvironment(m)
	text, err := selfSigned(name, key.Private)
	return provider.Trust{Certificates: []string{text}, Roots: []string{text}}, err
}

// signPayPal signs the CRC-32 of the body.
func signPayPal(m *provider.Module, r *signature.Request, key signature.SigningKey, d signature.Draft) error {
	if err := placeAll(r, placement{inJSON("event_type"), d.Event}); err != nil {
		return err
	}
	id, err := idOrDerived(r, d)
	if err != nil {
		return err
	}
	host, _ := payPalEnvironment(m)
	at := d.Time.UTC().Format(time.RFC3339)
	content := fmt.Sprintf("%s|%s|%s|%d", id, at, m.Resolved().WebhookID, crc32.ChecksumIEEE(r.Body.Bytes()))
	sum := sha256.Sum256([]byte(content))
	sig, err := key.Private.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		return err
	}
	r.Header.Set(payPalID, id)
	r.Header.Set(payPalTime, at)
	r.Header.Set(payPalSig, base64.StdEncoding.EncodeToString(sig))
	r.Header.Set(payPalCert, "https://"+host+"/v1/notifications/certs/CERT-360caa42-fca2a594-ad0bb4ad")
	r.Header.Set(payPalAlgo, "SHA256withRSA")
	return nil
}

// trustAppleRoot: the private key is that of a root, which the certificates of
// each delivery lead to.
func trustAppleRoot(_ *provider.Module, key signature.SigningKey) (provider.Trust, error) {
	template := madeUp("Root", true)
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Private.Public(), key.Private)
	return provider.Trust{Roots: []string{inPEM(der)}}, err
}

// signAppStore signs a notification with a certificate that leads to the root.
// The body is the notification, as it is inside the JWS.
func signAppStore(m *provider.Module, r *signature.Request, key signature.SigningKey, d signature.Draft) error {
	at := strconv.FormatInt(d.Time.UnixMilli(), 10)
	subject := "data."
	if paths, err := appleSubjects.Find(r.Body); err != nil {
		return err
	} else if paths[0] != "" {
		subject = "summary."
	}
	environment := "Production"
	if m.Resolved().Environment == "sandbox" {
		environment = "Sandbox"
	}
	err := placeAll(r,
		placement{inJSON("notificationUUID"), d.ID}, placement{inJSON("notificationType"), d.Event},
		placement{inJSON(subject + "bundleId"), m.Resolved().BundleID}, placement{inJSON(subject + "environment"), environment},
	)
	if err != nil {
		return err
	}
	var notification map[string]any
	if err := json.Unmarshal(r.Body.Bytes(), &notification); err != nil {
		return errors.New("the body is not a notification: write what is inside signedPayload, as JSON")
	}
	notification["signedDate"] = json.Number(at)
	if id := m.Resolved().AppID; id != "" && subject == "data." {
		notification["data"].(map[string]any)["appAppleId"] = json.Number(id)
	}
	payload, err := json.Marshal(notification)
	if err != nil {
		return err
	}
	token, err := appleToken(key.Private, payload)
	if err != nil {
		return err
	}
	body, err := json.Marshal(map[string]string{"signedPayload": token})
	r.Body = signature.BytesBody(body)
	return err
}

var appleSubjects, _ = signature.NewJSONPaths([]string{"summary.bundleId"})

// appleToken makes the JWS of a notification, with its three certificates.
func appleToken(root crypto.Signer, payload []byte) (string, error) {
	rootTemplate := madeUp("Root", true)
	intermediate, intermediateKey, err := appleLink(madeUp("Intermediate", true), appleIntermediate, rootTemplate, root)
	if err != nil {
		return "", err
	}
	leaf, leafKey, err := appleLink(madeUp("Leaf", false), appleLeaf, intermediate, intermediateKey)
	if err != nil {
		return "", err
	}
	rootDER, err := x509.CreateCertificate(rand.Reader, rootTemplate, rootTemplate, root.Public(), root)
	if err != nil {
		return "", err
	}
	var chain []string
	for _, der := range [][]byte{leaf.Raw, intermediate.Raw, rootDER} {
		chain = append(chain, base64.StdEncoding.EncodeToString(der))
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: leafKey}, (&jose.SignerOptions{}).WithHeader("x5c", chain))
	if err != nil {
		return "", err
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		return "", err
	}
	return jws.CompactSerialize()
}

// appleLink makes a certificate with a key of its own and the mark that Apple's
// have.
func appleLink(template *x509.Certificate, mark []int, parent *x509.Certificate, parentKey crypto.Signer) (*x509.Certificate, crypto.Signer, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template.ExtraExtensions = []pkix.Extension{{Id: mark, Value: []byte{5, 0}}}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, private.Public(), parentKey)
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return cert, private, err
}
