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

// Algorithm is what tokens are signed with, a name of RFC 7518, section 3.1.
type Algorithm string

// The algorithms of tokend.
const (
	RS512 Algorithm = "RS512"
	RS256 Algorithm = "RS256"
	ES256 Algorithm = "ES256"
)

// rsaBits are those of tokend's own keys.
const rsaBits = 2048

// WithAlgorithm sets what tokens are signed with, [RS512] by default, as tokend does. [ES256] takes the least time.
func WithAlgorithm(algorithm Algorithm) Option {
	switch algorithm {
	case RS512, RS256, ES256:
		return func(s *settings) { s.algorithm = algorithm }
	default:
		panic(fmt.Sprintf("tokendtest: no algorithm %q", algorithm))
	}
}

// RotateKey makes the server sign with a new key from now on. Those before it stay published.
func (s *Server) RotateKey() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = append(s.keys, newSigningKey(s.settings.algorithm))
}

// signingKey is a key that is made when it is first needed, which takes a while.
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
		panic(err) // the random source of the system is broken
	}
	return private
}

func thumbprint(key jose.JSONWebKey) string {
	digest, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		panic(err) // the key is of our own making
	}
	return base64.RawURLEncoding.EncodeToString(digest)
}

func (k signingKey) sign(claims claims) string {
	payload, err := json.Marshal(claims)
	if err != nil {
		panic(err) // texts and numbers
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
