package tokendtest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"

	"github.com/go-jose/go-jose/v4"
)

// claims are the claims of a token, in tokend's order.
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

// Issuer returns the issuer of the tokens (iss).
func (s *Server) Issuer() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.issuer
}

// Handler returns a handler for the issuer's URL. It serves the discovery document and the public keys to verifiers.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		issuer := s.Issuer()
		writeJSON(w, map[string]any{
			"issuer":                                issuer,
			"jwks_uri":                              issuer + "/.well-known/jwks.json",
			"response_types_supported":              []string{"id_token"},
			"subject_types_supported":               []string{"public"},
			"id_token_signing_alg_values_supported": []Algorithm{s.settings.algorithm},
		})
	})
	jwks := func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, s.publicKeys()) }
	mux.HandleFunc("GET /.well-known/jwks.json", jwks)
	mux.HandleFunc("GET /.well-known/jwks_uri", jwks)
	return mux
}

// ServeIssuer serves [Server.Handler] on the loopback until Close, and returns its URL. This URL is the iss of all
// tokens issued from then on.
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
	_ = json.NewEncoder(w).Encode(document) // an error means that the client has disconnected
}
