package catalogue

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/dunglas/httpsfv"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// newMessageSecret generates a shared key in the format of rfc9421.
func newMessageSecret() string {
	var raw [32]byte
	rand.Read(raw[:]) // never fails (crypto/rand)
	return "hmac-sha256:" + base64.StdEncoding.EncodeToString(raw[:])
}

// messageAlgorithm returns the algorithm of a private key.
func messageAlgorithm(private crypto.Signer) (string, error) {
	switch private.(type) {
	case ed25519.PrivateKey:
		return "ed25519", nil
	case *ecdsa.PrivateKey:
		return "ecdsa-p256-sha256", nil
	case *rsa.PrivateKey:
		return "rsa-pss-sha512", nil
	}
	return "", fmt.Errorf("a %T cannot sign messages", private)
}

// trustMessageKey returns the public key, preceded by its algorithm.
func trustMessageKey(_ *provider.Module, key signature.SigningKey) (provider.Trust, error) {
	algorithm, err := messageAlgorithm(key.Private)
	if err != nil {
		return provider.Trust{}, err
	}
	public, err := publicKeyText(key.Private.Public())
	return provider.Trust{Secret: algorithm + ":" + public}, err
}

// signMessage signs the components that the receiver requires, including the digest of
// the body.
func signMessage(m *provider.Module, r *signature.Request, key signature.SigningKey, d signature.Draft) error {
	sum := sha256.New()
	if _, err := r.Body.WriteTo(sum); err != nil {
		return err
	}
	r.Header.Set("Content-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(sum.Sum(nil))+":")
	components := m.Resolved().Components
	if len(components) == 0 {
		components = defaultComponents
	}
	list := httpsfv.InnerList{Params: httpsfv.NewParams()}
	for _, name := range components {
		list.Items = append(list.Items, httpsfv.NewItem(name))
	}
	list.Params.Add("created", d.Time.Unix())
	list.Params.Add("keyid", key.Secret.Label())
	base, err := signatureBase(r, list)
	if err != nil {
		return err
	}
	sig, err := signMessageBase(key, base)
	if err != nil {
		return err
	}
	inputs, sigs := httpsfv.NewDictionary(), httpsfv.NewDictionary()
	inputs.Add("sig1", list)
	sigs.Add("sig1", httpsfv.NewItem(sig))
	input, err := httpsfv.Marshal(inputs)
	if err != nil {
		return err
	}
	text, err := httpsfv.Marshal(sigs)
	r.Header.Set("Signature-Input", input)
	r.Header.Set("Signature", text)
	return err
}

func signMessageBase(key signature.SigningKey, base []byte) ([]byte, error) {
	sha := sha256.Sum256(base)
	switch private := key.Private.(type) {
	case nil:
		k, err := newMessageKey(key.Secret)
		if err != nil {
			return nil, err
		}
		if k.secret == nil {
			return nil, errors.New("the secret is a public key: pass its private key instead")
		}
		h := hmac.New(sha256.New, k.secret)
		h.Write(base)
		return h.Sum(nil), nil
	case ed25519.PrivateKey:
		return ed25519.Sign(private, base), nil
	case *rsa.PrivateKey:
		sum := sha512.Sum512(base)
		return rsa.SignPSS(rand.Reader, private, crypto.SHA512, sum[:], &rsa.PSSOptions{SaltLength: 64})
	default:
		return halves(private, sha[:], crypto.SHA256, 32)
	}
}
