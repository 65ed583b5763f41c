package catalogue

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// appStore verifies App Store Server Notifications v2: the body contains only a JWS
// with certificates that chain to Apple's root.
// https://developer.apple.com/documentation/appstoreservernotifications
type appStore struct {
	roots       *x509.CertPool
	bundleID    string
	appID       string
	environment string
	identity    signature.Identity
	maxAge      time.Duration
}

const (
	// appleTolerance covers Apple's retries, which keep the time of signing.
	// The last one is sent 157 hours after the first attempt.
	appleTolerance = week
	appleMaxSkew   = 5 * time.Minute
)

// Extensions that mark Apple's certificates.
var (
	appleLeaf         = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 11, 1}
	appleIntermediate = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 2, 1}
)

func newAppleAppStore(m *provider.Module) (provider.Verifier, error) {
	a := &appStore{bundleID: m.Resolved().BundleID, appID: m.Resolved().AppID, environment: "Production", maxAge: time.Duration(m.Tolerance)}
	if a.maxAge == 0 {
		a.maxAge = appleTolerance
	}
	if m.Resolved().Environment == "sandbox" {
		a.environment = "Sandbox"
	}
	a.identity = signature.Identity{Label: a.bundleID, Fingerprint: sha256.Sum256([]byte("verify_webhook app store\x00" + a.environment + "\x00" + a.bundleID))}
	var err error
	if a.roots, err = rootPool(m); err != nil || a.roots != nil {
		return a, err
	}
	certs, err := parseCertificates([]byte(appleRootG3))
	if err != nil {
		return nil, err
	}
	a.roots = x509.NewCertPool()
	a.roots.AddCert(certs[0])
	return a, nil
}

func (a *appStore) CheckHeaders(*signature.Request) error { return nil }

// appleNotification contains the members of the payload that are checked.
type appleNotification struct {
	Type       string         `json:"notificationType"`
	Subtype    string         `json:"subtype"`
	UUID       string         `json:"notificationUUID"`
	SignedDate json.Number    `json:"signedDate"`
	Data       *appleSubject  `json:"data"`
	Summary    *appleSubject  `json:"summary"`
	External   *applePurchase `json:"externalPurchaseToken"`
}

type appleSubject struct {
	BundleID    string      `json:"bundleId"`
	AppID       json.Number `json:"appAppleId"`
	Environment string      `json:"environment"`
}

// applePurchase is the subject of notifications about external purchases.
type applePurchase struct {
	ID       string      `json:"externalPurchaseId"`
	BundleID string      `json:"bundleId"`
	AppID    json.Number `json:"appAppleId"`
}

// subject returns the subject as for other notifications. The ID shows whether it
// belongs to the sandbox.
func (p *applePurchase) subject() *appleSubject {
	if p == nil {
		return nil
	}
	environment := "Production"
	if strings.HasPrefix(p.ID, "SANDBOX") {
		environment = "Sandbox"
	}
	return &appleSubject{BundleID: p.BundleID, AppID: p.AppID, Environment: environment}
}

func (a *appStore) Verify(_ context.Context, r *signature.Request) (*signature.Delivery, error) {
	body, err := wholeBody(r)
	if err != nil {
		return nil, err
	}
	jws, err := appleEnvelope(body)
	if err != nil {
		return nil, err
	}
	var n appleNotification
	if err := json.Unmarshal(jws.payload, &n); err != nil {
		return nil, signature.Refuse(signature.Malformed, "the payload is not a notification")
	}
	ms, err := strconv.ParseInt(n.SignedDate.String(), 10, 64)
	if err != nil || ms <= 0 || ms > 1<<44 {
		return nil, signature.Refuse(signature.Malformed, "signedDate is not a time in milliseconds")
	}
	signedAt := time.UnixMilli(ms)
	if age := r.Now.Sub(signedAt); age > a.maxAge || age < -appleMaxSkew {
		return nil, signature.Refuse(signature.Stale, "signed %s ago, which is more than the tolerance of %s", age.Round(time.Second), a.maxAge)
	}
	public, err := a.publicKey(jws.certificates, signedAt)
	if err != nil {
		return nil, err
	}
	if !jws.signedBy(public) {
		return nil, signature.Refuse(signature.InvalidSignature, "signature mismatch: the certificate does not match")
	}
	if err := a.checkSubject(&n); err != nil {
		return nil, err
	}
	digest := sha256.Sum256(jws.payload)
	d := &signature.Delivery{ID: n.UUID, IDSigned: true, Event: n.Type, EventSigned: true, Timestamp: signedAt, TimestampSigned: true}
	if n.Subtype != "" {
		d.Event += "." + n.Subtype
	}
	d.Matches = []signature.Match{{Secret: a.identity, Digest: digest[:]}}
	return d, nil
}

// publicKey returns the key of the first certificate in x5c, if the certificates chain
// to the root and Apple issued them for the App Store. The third certificate is the
// root, and is not needed. Certificates expire before the last retry, so validity is
// checked at the time of signing, as Apple's library does.
func (a *appStore) publicKey(chain []*x509.Certificate, at time.Time) (*ecdsa.PublicKey, error) {
	if !hasExtension(chain[0], appleLeaf) || !hasExtension(chain[1], appleIntermediate) || !chain[1].IsCA {
		return nil, signature.Refuse(signature.InvalidSignature, "the certificates were not issued by Apple for the App Store")
	}
	if err := checkChain(chain[:2], a.roots, "", at); err != nil {
		return nil, signature.Refuse(signature.InvalidSignature, "the certificates do not chain to Apple's root, or were not valid at the time of signing")
	}
	return chain[0].PublicKey.(*ecdsa.PublicKey), nil // see appleCertificate
}

func hasExtension(cert *x509.Certificate, id asn1.ObjectIdentifier) bool {
	for _, e := range cert.Extensions {
		if e.Id.Equal(id) {
			return true
		}
	}
	return false
}

// checkSubject refuses notifications about other apps and environments.
func (a *appStore) checkSubject(n *appleNotification) error {
	subject := n.Data
	if subject == nil {
		subject = n.Summary
	}
	if subject == nil {
		subject = n.External.subject()
	}
	switch {
	case subject == nil:
		return signature.Refuse(signature.Malformed, "missing data and summary in the notification")
	case subject.BundleID != a.bundleID:
		return signature.Refuse(signature.InvalidSignature, "the notification is for another app")
	case subject.Environment != a.environment:
		return signature.Refuse(signature.InvalidSignature, "the notification is for environment %q", shortened(subject.Environment))
	case a.environment == "Production" && a.appID != "" && subject.AppID.String() != a.appID:
		return signature.Refuse(signature.InvalidSignature, "the notification is for another app")
	case n.UUID == "":
		return signature.Refuse(signature.Malformed, "missing notificationUUID")
	}
	return nil
}

// shortened limits the length of sender-supplied text in logs.
func shortened(text string) string { return text[:min(len(text), 40)] }

func (a *appStore) Coverage() signature.Coverage {
	return signature.Coverage{HasID: true, IDSigned: true, HasEvent: true, EventSigned: true, HasTimestamp: true, TimestampSigned: true, BodySigned: true, Tolerance: a.maxAge}
}

func (a *appStore) Secrets() []signature.Identity { return []signature.Identity{a.identity} }

// appleRootG3 is Apple Root CA - G3, from https://www.apple.com/certificateauthority/.
const appleRootG3 = `-----BEGIN CERTIFICATE-----
MIICQzCCAcmgAwIBAgIILcX8iNLFS5UwCgYIKoZIzj0EAwMwZzEbMBkGA1UEAwwS
QXBwbGUgUm9vdCBDQSAtIEczMSYwJAYDVQQLDB1BcHBsZSBDZXJ0aWZpY2F0aW9u
IEF1dGhvcml0eTETMBEGA1UECgwKQXBwbGUgSW5jLjELMAkGA1UEBhMCVVMwHhcN
MTQwNDMwMTgxOTA2WhcNMzkwNDMwMTgxOTA2WjBnMRswGQYDVQQDDBJBcHBsZSBS
b290IENBIC0gRzMxJjAkBgNVBAsMHUFwcGxlIENlcnRpZmljYXRpb24gQXV0aG9y
aXR5MRMwEQYDVQQKDApBcHBsZSBJbmMuMQswCQYDVQQGEwJVUzB2MBAGByqGSM49
AgEGBSuBBAAiA2IABJjpLz1AcqTtkyJygRMc3RCV8cWjTnHcFBbZDuWmBSp3ZHtf
TjjTuxxEtX/1H7YyYl3J6YRbTzBPEVoA/VhYDKX1DyxNB0cTddqXl5dvMVztK517
IDvYuVTZXpmkOlEKMaNCMEAwHQYDVR0OBBYEFLuw3qFYM4iapIqZ3r6966/ayySr
MA8GA1UdEwEB/wQFMAMBAf8wDgYDVR0PAQH/BAQDAgEGMAoGCCqGSM49BAMDA2gA
MGUCMQCD6cHEFl4aXTQY2e3v9GwOAEZLuN+yRhHFD/3meoyhpmvOwgPUnPWTxnS4
at+qIxUCMG1mihDK1A3UT82NQz60imOlM27jbdoXt2QfyFMm+YhidDkLF1vLUagM
6BgD56KyKA==
-----END CERTIFICATE-----
`
