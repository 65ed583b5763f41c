package catalogue

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// maxChain is the maximum number of certificates in a PEM file.
const maxChain = 8

// parseCertificates parses PEM: the signer's certificate and, optionally, those that
// chain it to a root.
func parseCertificates(text []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for len(certs) < maxChain {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := signature.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, errors.New("missing certificate in PEM")
	}
	return certs, nil
}

// rootPool returns the configured roots, or nil for the system's.
func rootPool(m *provider.Module) (*x509.CertPool, error) {
	if len(m.Resolved().Roots) == 0 {
		return nil, nil
	}
	pool := x509.NewCertPool()
	for _, text := range m.Resolved().Roots {
		certs, err := parseCertificates([]byte(text))
		if err != nil {
			return nil, fmt.Errorf("root: %w: write root {file./path}", err)
		}
		for _, cert := range certs {
			pool.AddCert(cert)
		}
	}
	return pool, nil
}

// configuredCertificates returns the configured certificates, used instead of fetching
// them.
func configuredCertificates(m *provider.Module) ([][]*x509.Certificate, error) {
	var all [][]*x509.Certificate
	for _, text := range m.Resolved().Certificates {
		certs, err := parseCertificates([]byte(text))
		if err != nil {
			return nil, fmt.Errorf("certificate: %w: write certificate {file./path}", err)
		}
		all = append(all, certs)
	}
	return all, nil
}

// checkChain verifies that the first certificate is for name, unless name is empty, is
// valid now, and chains to a root.
func checkChain(certs []*x509.Certificate, roots *x509.CertPool, name string, now time.Time) error {
	intermediates := x509.NewCertPool()
	for _, cert := range certs[1:] {
		intermediates.AddCert(cert)
	}
	_, err := certs[0].Verify(x509.VerifyOptions{
		DNSName:       name,
		Roots:         roots,
		Intermediates: intermediates,
		CurrentTime:   now,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	return err
}
