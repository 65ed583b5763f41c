package signature

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
)

// Limits of keys. The cost of an operation with an RSA key is quadratic in its
// length, and certificates can come from the request. Kind and size of every key
// are therefore checked before its first use, wherever it is from.
const (
	// minRSABits: shorter keys have been factored.
	minRSABits = 1024
	// maxRSABits: longer keys cost milliseconds, and no provider uses one.
	maxRSABits = 8192
	// maxKeyText is the maximum length of a public key in bytes, as PEM, JSON Web
	// Key or DER. A certificate with an RSA key of 8192 bits has about 4 KiB.
	maxKeyText = 32 << 10
	// maxCertificate is the maximum length of a certificate in bytes of DER.
	maxCertificate = 8 << 10
	// maxCertificateNames limits the names, and the name constraints, of a
	// certificate, because each name is compared with each constraint.
	maxCertificateNames = 100
)

// CheckPublicKey returns an error unless the key is RSA with 1024 to 8192 bits
// and an odd exponent of at least 3, ECDSA on P-256 or P-384, or Ed25519 and not a
// point of small order.
func CheckPublicKey(public crypto.PublicKey) error {
	switch p := public.(type) {
	case ed25519.PublicKey:
		if len(p) != ed25519.PublicKeySize {
			return fmt.Errorf("an Ed25519 key has %d bytes, not %d", ed25519.PublicKeySize, len(p))
		}
		return checkOrder(p)
	case *ecdsa.PublicKey:
		if p.Curve != elliptic.P256() && p.Curve != elliptic.P384() {
			return errors.New("the key is on an elliptic curve other than P-256 and P-384")
		}
		return nil
	case *rsa.PublicKey:
		return checkRSA(p)
	}
	return fmt.Errorf("a key of type %T is not RSA, ECDSA or Ed25519", public)
}

func checkRSA(p *rsa.PublicKey) error {
	switch bits := p.N.BitLen(); {
	case bits < minRSABits:
		return fmt.Errorf("an RSA key of %d bits is too short: use at least 2048 bits", bits)
	case bits > maxRSABits:
		return fmt.Errorf("an RSA key of %d bits is too long: use at most %d", bits, maxRSABits)
	case p.E < 3 || p.E%2 == 0 || p.E > 1<<31-1:
		return fmt.Errorf("the RSA exponent %d is not an odd number from 3 to 2147483647", p.E)
	}
	return nil
}

// ParsePKIX parses a SubjectPublicKeyInfo and checks the key.
func ParsePKIX(der []byte) (crypto.PublicKey, error) {
	if len(der) > maxKeyText {
		return nil, fmt.Errorf("a public key of %d bytes is too long: at most %d", len(der), maxKeyText)
	}
	public, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, fmt.Errorf("parsing public key: %w", err)
	}
	return public, CheckPublicKey(public)
}

// ParseCertificate parses a certificate and checks its key, its size and the number
// of its names.
func ParseCertificate(der []byte) (*x509.Certificate, error) {
	if len(der) > maxCertificate {
		return nil, fmt.Errorf("a certificate of %d bytes is too long: at most %d", len(der), maxCertificate)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("parsing certificate: %w", err)
	}
	names := len(cert.DNSNames) + len(cert.EmailAddresses) + len(cert.IPAddresses) + len(cert.URIs)
	constraints := len(cert.PermittedDNSDomains) + len(cert.ExcludedDNSDomains) + len(cert.PermittedIPRanges) + len(cert.ExcludedIPRanges) +
		len(cert.PermittedEmailAddresses) + len(cert.ExcludedEmailAddresses) + len(cert.PermittedURIDomains) + len(cert.ExcludedURIDomains)
	if names > maxCertificateNames || constraints > maxCertificateNames {
		return nil, fmt.Errorf("a certificate with more than %d names or name constraints is not accepted", maxCertificateNames)
	}
	return cert, CheckPublicKey(cert.PublicKey)
}
