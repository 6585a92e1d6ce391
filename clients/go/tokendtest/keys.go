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
	s.rotating.Lock()
	defer s.rotating.Unlock()
	key := newSigningKey(s.settings.algorithm, len(s.keys)) // without mu: no call waits for its generation
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = append(s.keys, key)
}

type signingKey struct {
	signer jose.Signer
	public jose.JSONWebKey
}

// newSigningKey returns the key with this number of a server.
func newSigningKey(algorithm Algorithm, number int) signingKey {
	private := privateKey(algorithm, number)
	public := jose.JSONWebKey{Key: private.Public(), Algorithm: string(algorithm), Use: "sig"}
	public.KeyID = thumbprint(public)
	signer := must(jose.NewSigner(
		jose.SigningKey{
			Algorithm: jose.SignatureAlgorithm(algorithm), Key: jose.JSONWebKey{Key: private, KeyID: public.KeyID},
		},
		(&jose.SignerOptions{}).WithType("JWS"),
	))
	return signingKey{signer, public}
}

// rsaKeys are the RSA keys of all servers of the process, by number: generation is slow, and tests start many servers.
var rsaKeys struct {
	mu   sync.Mutex
	made []*rsa.PrivateKey
}

func privateKey(algorithm Algorithm, number int) crypto.Signer {
	if algorithm == ES256 {
		return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	}
	rsaKeys.mu.Lock()
	defer rsaKeys.mu.Unlock()
	for len(rsaKeys.made) <= number {
		rsaKeys.made = append(rsaKeys.made, must(rsa.GenerateKey(rand.Reader, rsaBits)))
	}
	return rsaKeys.made[number]
}

// must panics with an error, which valid keys, claims and details do not cause.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func thumbprint(key jose.JSONWebKey) string {
	return base64.RawURLEncoding.EncodeToString(must(key.Thumbprint(crypto.SHA256)))
}

func (k signingKey) sign(claims claims) string {
	signed := must(k.signer.Sign(must(json.Marshal(claims))))
	return must(signed.CompactSerialize())
}
