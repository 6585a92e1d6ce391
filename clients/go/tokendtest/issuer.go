package tokendtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"

	"github.com/go-jose/go-jose/v4"
)

const signatureAlgorithm = jose.ES256

// claims are those of a token, in the order of tokend's own.
type claims struct {
	Subject  string   `json:"sub"`
	Audience string   `json:"aud"`
	Methods  []string `json:"amr"`
	Tags     *tags    `json:"https://aws.amazon.com/tags,omitempty"`
	Issuer   string   `json:"iss"`
	Expiry   int64    `json:"exp"`
	IssuedAt int64    `json:"iat"`
}

type tags struct {
	PrincipalTags map[string][]string `json:"principal_tags"`
}

func newTags(values map[string]string) *tags {
	if len(values) == 0 {
		return nil
	}
	made := &tags{map[string][]string{}}
	for name, value := range values {
		made.PrincipalTags[name] = []string{value}
	}
	return made
}

type signingKey struct {
	signer jose.Signer
	public jose.JSONWebKey
}

// RotateKey makes the server sign with a new ES256 key from now on. Those before it stay published.
func (s *Server) RotateKey() {
	key := newSigningKey()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = append(s.keys, key)
}

func newSigningKey() signingKey {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err) // the random source of the system is broken
	}
	public := jose.JSONWebKey{Key: private.Public(), Algorithm: string(signatureAlgorithm), Use: "sig"}
	public.KeyID = thumbprint(public)
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: signatureAlgorithm, Key: jose.JSONWebKey{Key: private, KeyID: public.KeyID}},
		(&jose.SignerOptions{}).WithType("JWS"),
	)
	if err != nil {
		panic(err) // the key fits the algorithm
	}
	return signingKey{signer, public}
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
	signed, err := k.signer.Sign(payload)
	if err != nil {
		panic(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		panic(err)
	}
	return token
}

// Issuer returns the iss of the tokens.
func (s *Server) Issuer() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.issuer
}

// Handler serves what verifiers ask for below the issuer's URL: the discovery document and the public keys.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		issuer := s.Issuer()
		writeJSON(w, map[string]any{
			"issuer":                                issuer,
			"jwks_uri":                              issuer + "/.well-known/jwks.json",
			"response_types_supported":              []string{"id_token"},
			"subject_types_supported":               []string{"public"},
			"id_token_signing_alg_values_supported": []string{string(signatureAlgorithm)},
		})
	})
	jwks := func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, s.publicKeys()) }
	mux.HandleFunc("GET /.well-known/jwks.json", jwks)
	mux.HandleFunc("GET /.well-known/jwks_uri", jwks)
	return mux
}

// ServeIssuer serves the Handler on the loopback until Close. Tokens issued from now on have the URL that it returns
// as their iss.
func (s *Server) ServeIssuer() string {
	handler := s.Handler()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.web == nil {
		s.web = httptest.NewServer(handler)
		s.issuer = s.web.URL
	}
	return s.issuer
}

func (s *Server) publicKeys() jose.JSONWebKeySet {
	s.mu.Lock()
	defer s.mu.Unlock()
	var set jose.JSONWebKeySet
	for _, key := range s.keys {
		set.Keys = append(set.Keys, key.public)
	}
	return set
}

func writeJSON(w http.ResponseWriter, document any) {
	w.Header().Set("content-type", "application/json")
	_ = json.NewEncoder(w).Encode(document) // the client has gone
}
