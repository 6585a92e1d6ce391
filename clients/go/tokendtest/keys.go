package tokendtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/go-jose/go-jose/v4"
)

// Algorithm is a signature algorithm, as named in RFC 7518, section 3.1.
type Algorithm string

// The algorithms that tokend supports.
const (
	RS512 Algorithm = "RS512"
	RS256 Algorithm = "RS256"
	ES256 Algorithm = "ES256"
)

// rsaBits is the size of tokend's RSA keys.
const rsaBits = 2048

// WithAlgorithm sets the signature algorithm of tokens, by default [RS512], which is also tokend's default. [ES256] is
// the fastest. It panics for any other algorithm.
func WithAlgorithm(algorithm Algorithm) Option {
	switch algorithm {
	case RS512, RS256, ES256:
		return func(s *settings) { s.algorithm = algorithm }
	default:
		panic(fmt.Sprintf("tokendtest: unsupported algorithm %q", algorithm))
	}
}

// RotateKey makes the server sign with a new key. Earlier keys stay published.
func (s *Server) RotateKey() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = append(s.keys, newSigningKey(s.settings.algorithm))
}

// signingKey is a key that is generated on first use, since generation is slow.
type signingKey func() keyPair

func newSigningKey(algorithm Algorithm) signingKey {
	return sync.OnceValue(func() keyPair { return makeKeyPair(algorithm) })
}

type keyPair struct {
	signer jose.Signer
	public jose.JSONWebKey
}

func makeKeyPair(algorithm Algorithm) keyPair {
	private := makePrivateKey(algorithm)
	public := jose.JSONWebKey{Key: private.Public(), Algorithm: string(algorithm), Use: "sig"}
	public.KeyID = thumbprint(public)
	signer, err := jose.NewSigner(
		jose.SigningKey{
			Algorithm: jose.SignatureAlgorithm(algorithm), Key: jose.JSONWebKey{Key: private, KeyID: public.KeyID},
		},
		(&jose.SignerOptions{}).WithType("JWS"),
	)
	if err != nil {
		panic(err) // the key fits the algorithm
	}
	return keyPair{signer, public}
}

func makePrivateKey(algorithm Algorithm) crypto.Signer {
	var private crypto.Signer
	var err error
	if algorithm == ES256 {
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	} else {
		private, err = rsa.GenerateKey(rand.Reader, rsaBits)
	}
	if err != nil {
		panic(err) // the system's random source has failed
	}
	return private
}

func thumbprint(key jose.JSONWebKey) string {
	digest, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		panic(err) // cannot happen with a generated key
	}
	return base64.RawURLEncoding.EncodeToString(digest)
}

func (k signingKey) sign(claims claims) string {
	payload, err := json.Marshal(claims)
	if err != nil {
		panic(err) // cannot happen: strings and numbers
	}
	signed, err := k().signer.Sign(payload)
	if err != nil {
		panic(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		panic(err)
	}
	return token
}
