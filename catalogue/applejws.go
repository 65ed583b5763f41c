package catalogue

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"math/big"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

const (
	// maxAppleHeader is the maximum length of the JWS header in base64, in bytes.
	// Apple's contains three certificates of about 1 KiB.
	maxAppleHeader = 16 << 10
	// maxAppleCertificate is the maximum size of a certificate in DER, in bytes.
	maxAppleCertificate = 4 << 10
	// appleCertificates is the number of certificates that Apple sends: the leaf,
	// the intermediate and the root.
	appleCertificates = 3
	// es256Size is the size of an ES256 signature: r and s.
	es256Size = 64
)

// appleJWS is a JWS whose certificates passed the checks of format. They are not yet
// verified to be Apple's.
type appleJWS struct {
	certificates []*x509.Certificate // the first two
	payload      []byte
	signed       [sha256.Size]byte
	sig          []byte
}

// appleEnvelope reads the JWS in the body. The body must contain nothing else, because
// it would be unsigned.
func appleEnvelope(body []byte) (*appleJWS, error) {
	if err := checkNames(body, names{}); err != nil {
		return nil, signature.Refuse(signature.Malformed, "%v", err)
	}
	var text []byte
	for written, value := range jsonMembers(body) {
		if name, _ := jsonString(written, true); name != "signedPayload" {
			return nil, signature.Refuse(signature.Malformed, "the body contains unsigned members besides signedPayload")
		}
		if len(value) <= len(`""`) || value[0] != '"' {
			return nil, signature.Refuse(signature.MissingSignature, "signedPayload is empty or not a string")
		}
		text = value[1 : len(value)-1]
	}
	if text == nil {
		return nil, signature.Refuse(signature.MissingSignature, "missing signedPayload")
	}
	return readAppleJWS(text)
}

// readAppleJWS reads the JWS. The certificates are part of the request, so their
// number, sizes and kinds of keys are checked before any of them is used: verifying
// with a key chosen by the sender could take seconds.
func readAppleJWS(text []byte) (*appleJWS, error) {
	header, rest, _ := bytes.Cut(text, []byte("."))
	payload, sig, ok := bytes.Cut(rest, []byte("."))
	if !ok || len(header) > maxAppleHeader || len(sig) != base64.RawURLEncoding.EncodedLen(es256Size) {
		return nil, errAppleJWS
	}
	j := &appleJWS{signed: sha256.Sum256(text[:len(text)-len(sig)-1])}
	var err error
	if j.certificates, err = appleHeader(header); err != nil {
		return nil, err
	}
	if j.sig, err = decodeURL(sig); err != nil {
		return nil, errAppleJWS
	}
	if j.payload, err = decodeURL(payload); err != nil {
		return nil, errAppleJWS
	}
	return j, nil
}

var errAppleJWS = signature.Refuse(signature.Malformed, "signedPayload is not a JWS with ES256")

var strictURL = base64.RawURLEncoding.Strict()

func decodeURL(text []byte) ([]byte, error) { return strictURL.AppendDecode(nil, text) }

// appleHeader returns the first two certificates of a JWS header. The third is the
// root, which is configured.
func appleHeader(text []byte) ([]*x509.Certificate, error) {
	header, err := decodeURL(text)
	if err != nil || checkNames(header, anyNames) != nil {
		return nil, errAppleJWS
	}
	algorithm, certificates := "", [][]byte(nil)
	for name, value := range jsonMembers(header) {
		switch string(name) {
		case "alg":
			algorithm, _ = jsonString(value, false)
		case "x5c":
			for element := range jsonElements(value) {
				if certificates = append(certificates, element); len(certificates) > appleCertificates {
					break
				}
			}
		case "crit": // names what must be understood
			return nil, errAppleJWS
		}
	}
	if algorithm != "ES256" {
		return nil, errAppleJWS
	}
	if len(certificates) != appleCertificates {
		return nil, signature.Refuse(signature.Malformed, "the JWS does not contain three certificates")
	}
	leaf, err := appleCertificate(certificates[0], elliptic.P256())
	if err != nil {
		return nil, err
	}
	intermediate, err := appleCertificate(certificates[1], elliptic.P256(), elliptic.P384())
	return []*x509.Certificate{leaf, intermediate}, err
}

// appleCertificate parses an element of x5c. Apple's certificates have ECDSA keys and
// ECDSA signatures.
func appleCertificate(element []byte, curves ...elliptic.Curve) (*x509.Certificate, error) {
	text, ok := jsonString(element, false)
	if !ok || len(text) > base64.StdEncoding.EncodedLen(maxAppleCertificate) {
		return nil, signature.Refuse(signature.Malformed, "a certificate is too long, or is not a string")
	}
	der, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, signature.Refuse(signature.Malformed, "a certificate is not base64")
	}
	cert, err := signature.ParseCertificate(der)
	if err != nil {
		return nil, signature.Refuse(signature.Malformed, "a certificate cannot be parsed, or is of a kind that Apple does not use")
	}
	public, ok := cert.PublicKey.(*ecdsa.PublicKey)
	for _, curve := range curves {
		if ok && public.Curve == curve && (cert.SignatureAlgorithm == x509.ECDSAWithSHA256 || cert.SignatureAlgorithm == x509.ECDSAWithSHA384) {
			return cert, nil
		}
	}
	return nil, signature.Refuse(signature.InvalidSignature, "the key of a certificate is of a kind that Apple does not use")
}

// signedBy reports whether the signature was made with the key.
func (j *appleJWS) signedBy(public *ecdsa.PublicKey) bool {
	r, s := new(big.Int).SetBytes(j.sig[:es256Size/2]), new(big.Int).SetBytes(j.sig[es256Size/2:])
	return ecdsa.Verify(public, j.signed[:], r, s)
}
