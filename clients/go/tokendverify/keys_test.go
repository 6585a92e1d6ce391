package tokendverify_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"tokend.internal/go"
	"tokend.internal/go/tokendverify"
)

// requests counts requests, and fails them while configured to.
type requests struct {
	count atomic.Int64
	fail  atomic.Bool
}

func (r *requests) RoundTrip(request *http.Request) (*http.Response, error) {
	r.count.Add(1)
	if r.fail.Load() {
		return nil, errors.New("the issuer is not there")
	}
	return http.DefaultTransport.RoundTrip(request)
}

// clock moves only when a test moves it.
type clock struct{ offset atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.offset.Load())) }
func (c *clock) advance(d time.Duration) { c.offset.Add(int64(d)) }

func TestKeysAreCachedAndFetchedAgainForNewKey(t *testing.T) {
	server := newServer(t)
	seen, clock := &requests{}, &clock{}
	verifier := newVerifier(t, server.Issuer(),
		tokendverify.WithHTTPClient(&http.Client{Transport: seen}), tokendverify.WithClock(clock.now))
	verify := func(token tokend.Token, want error, fetches int64) {
		t.Helper()
		if _, err := verifier.Verify(t.Context(), token.Value.Reveal()); !errors.Is(err, want) {
			t.Errorf("error %v, want %v", err, want)
		}
		if got := seen.count.Load(); got != 2*fetches { // the discovery document, then the keys
			t.Errorf("%d requests, want %d", got, 2*fetches)
		}
	}
	if seen.count.Load() != 0 {
		t.Error("it asks before there is a token")
	}
	first := issue(t, server, nil)
	verify(first, nil, 1)
	verify(first, nil, 1)
	server.RotateKey()
	second := issue(t, server, nil)
	verify(second, nil, 2)
	verify(first, nil, 2)
	strangers := issue(t, newServer(t), nil)
	verify(strangers, tokendverify.ErrRejected, 3)
	verify(strangers, tokendverify.ErrRejected, 3) // unknown keys cause a pause
	verify(second, nil, 3)
	server.RotateKey()
	third := issue(t, server, nil)
	verify(third, tokendverify.ErrRejected, 3)
	clock.advance(6 * time.Second)
	verify(third, nil, 4)
	verify(first, nil, 4)
}

func TestKeysAreRefreshedInBackground(t *testing.T) {
	server := newServer(t)
	seen, clock := &requests{}, &clock{}
	verifier := newVerifier(t, server.Issuer(),
		tokendverify.WithHTTPClient(&http.Client{Transport: seen}), tokendverify.WithClock(clock.now))
	token := issue(t, server, nil).Value.Reveal()
	for _, after := range []time.Duration{0, 4 * time.Minute, 2 * time.Minute} {
		clock.advance(after)
		if _, err := verifier.Verify(t.Context(), token); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(10 * time.Second); seen.count.Load() < 4 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if got := seen.count.Load(); got != 4 {
		t.Errorf("%d requests, want 4", got)
	}
}

func TestUnknownKeysCauseFewFetches(t *testing.T) {
	f := newForger(t)
	seen, clock := &requests{}, &clock{}
	verifier := newVerifier(t, f.URL,
		tokendverify.WithHTTPClient(&http.Client{Transport: seen}), tokendverify.WithClock(clock.now))
	strangers := newForger(t)
	var tokens []string
	for i := range 20 {
		tokens = append(tokens, strangers.token(t, "ES256", fmt.Sprint(i), "JWS", nil), strangers.token(t, "ES256", "es256", "JWS", nil))
	}
	var asking sync.WaitGroup
	for _, token := range tokens {
		asking.Go(func() {
			if _, err := verifier.Verify(t.Context(), token); err == nil {
				t.Error("accepted")
			}
		})
	}
	asking.Wait()
	if got := seen.count.Load(); got > 4 { // a second fetch if the first one was for an existing key
		t.Errorf("%d requests, want 4 at the most", got)
	}
	if _, err := verifier.Verify(t.Context(), f.token(t, "ES256", "es256", "JWS", nil)); err != nil {
		t.Error(err)
	}
}

func TestCachedKeysVerifyDuringOutageOfIssuer(t *testing.T) {
	server := newServer(t)
	seen, clock := &requests{}, &clock{}
	var out bytes.Buffer
	verifier := newVerifier(t, server.Issuer(), tokendverify.WithHTTPClient(&http.Client{Transport: seen}),
		tokendverify.WithClock(clock.now), tokendverify.WithLeeway(24*time.Hour),
		tokendverify.WithLogger(slog.New(slog.NewTextHandler(&out, nil))))
	token := issue(t, server, nil).Value.Reveal()
	seen.fail.Store(true)
	for range 2 {
		if _, err := verifier.Verify(t.Context(), token); !errors.Is(err, tokendverify.ErrUnavailable) {
			t.Errorf("error %v", err)
		}
	}
	if seen.count.Load() != 1 || strings.Count(out.String(), "the issuer is not there") != 1 {
		t.Errorf("%d requests, log %q", seen.count.Load(), out.String())
	}
	seen.fail.Store(false)
	clock.advance(6 * time.Second)
	if _, err := verifier.Verify(t.Context(), token); err != nil {
		t.Error(err)
	}
	seen.fail.Store(true)
	for range 3 {
		clock.advance(time.Hour)
		if _, err := verifier.Verify(t.Context(), token); err != nil {
			t.Error(err)
		}
	}
}

func TestKeysAreUsedForOneDayDuringOutage(t *testing.T) {
	server := newServer(t)
	seen, clock := &requests{}, &clock{}
	verifier := newVerifier(t, server.Issuer(), tokendverify.WithHTTPClient(&http.Client{Transport: seen}),
		tokendverify.WithClock(clock.now), tokendverify.WithLeeway(48*time.Hour))
	token := issue(t, server, nil).Value.Reveal()
	for _, c := range []struct {
		after time.Duration
		away  bool
		want  error
	}{
		{0, false, nil},
		{23 * time.Hour, true, nil},
		{time.Hour, true, tokendverify.ErrUnavailable},
		{6 * time.Second, true, tokendverify.ErrUnavailable},
		{6 * time.Second, false, nil},
	} {
		clock.advance(c.after)
		seen.fail.Store(c.away)
		if _, err := verifier.Verify(t.Context(), token); !errors.Is(err, c.want) {
			t.Errorf("after %s more: error %v, want %v", c.after, err, c.want)
		}
	}
}

func TestCallerWaitsForKeysUntilItsDeadline(t *testing.T) {
	release := make(chan struct{})
	hanging := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	t.Cleanup(hanging.Close)
	t.Cleanup(func() { close(release) })
	f := newForger(t)
	verifier := newVerifier(t, hanging.URL)
	ctx, cancel := context.WithCancelCause(t.Context())
	go cancel(errors.New("gave up"))
	if _, err := verifier.Verify(ctx, f.token(t, "ES256", "es256", "JWS", nil)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestInvalidDiscoveryDocumentIsRejected(t *testing.T) {
	f := newForger(t)
	for name, document := range map[string]string{
		"another issuer": `{"issuer": "https://tokend.example.internal", "jwks_uri": "%s/keys"}`,
		"no keys":        `{"issuer": "%[1]s", "jwks_uri": "%[1]s/none"}`,
		"no document":    `<html>`,
		"other names":    `{"Issuer": "%[1]s", "JWKS_URI": "%[1]s/keys"}`,
		"two issuers":    `{"issuer": "https://tokend.example.internal", "issuer": "%[1]s", "jwks_uri": "%[1]s/keys"}`,
		"keys elsewhere": `{"issuer": "%[1]s", "jwks_uri": "%[1]s/capitals"}`,
		"two documents":  `{"issuer": "%[1]s", "jwks_uri": "%[1]s/keys"} {}`,
		"much more":      `{"issuer": "%[1]s", "jwks_uri": "%[1]s/keys"}` + strings.Repeat(" ", 1<<20),
	} {
		t.Run(name, func(t *testing.T) {
			var url string
			mux := http.NewServeMux()
			mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
				_, _ = fmt.Fprintf(w, strings.ReplaceAll(document, "%s", "%[1]s"), url)
			})
			mux.Handle("/keys", f.Config.Handler)
			mux.HandleFunc("/none", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"keys": []}`)) })
			mux.HandleFunc("/capitals", func(w http.ResponseWriter, _ *http.Request) {
				_ = json.NewEncoder(w).Encode(map[string]any{"KEYS": []any{
					jose.JSONWebKey{Key: f.ec.Public(), KeyID: "es256", Algorithm: "ES256", Use: "sig"},
				}})
			})
			web := httptest.NewServer(mux)
			t.Cleanup(web.Close)
			url = web.URL
			token := f.token(t, "ES256", "es256", "JWS", func(claims map[string]any) { claims["iss"] = url })
			if _, err := newVerifier(t, url).Verify(t.Context(), token); !errors.Is(err, tokendverify.ErrUnavailable) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// issuerWith returns an issuer with these keys. Its token is valid if they are.
func issuerWith(t *testing.T, f *forger, keys ...any) (issuer, token string) {
	var url string
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": url, "jwks_uri": url + "/keys"})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": keys})
	})
	web := httptest.NewServer(mux)
	t.Cleanup(web.Close)
	url = web.URL
	return url, f.token(t, "ES256", "es256", "JWS", func(claims map[string]any) { claims["iss"] = url })
}

func TestUnsupportedKeysAreIgnored(t *testing.T) {
	f := newForger(t)
	good := jose.JSONWebKey{Key: f.ec.Public(), KeyID: "es256", Algorithm: "ES256", Use: "sig"}
	for name, other := range map[string]any{
		"another type":       map[string]any{"kty": "AKP", "alg": "ML-DSA-44", "kid": "x", "pub": "AAAA"},
		"another curve":      map[string]any{"kty": "EC", "crv": "secp256k1", "kid": "x", "x": "AAAA", "y": "AAAA"},
		"a curve of OKP":     map[string]any{"kty": "OKP", "crv": "Ed448", "kid": "x", "x": "AAAA"},
		"not on its curve":   map[string]any{"kty": "EC", "crv": "P-256", "kid": "x", "x": strings.Repeat("A", 43), "y": strings.Repeat("A", 43)},
		"a missing member":   map[string]any{"kty": "RSA", "e": "AQAB", "kid": "x"},
		"no type":            map[string]any{"kid": "x"},
		"a number as its id": map[string]any{"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": 1},
		"a list as its id":   map[string]any{"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": []string{"x"}},
		"a list as its use":  map[string]any{"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "x", "use": []string{"sig"}},
		"null":               nil,
		"a text":             "key",
		"a list":             []string{},
	} {
		t.Run(name, func(t *testing.T) {
			issuer, token := issuerWith(t, f, other, good)
			if _, err := newVerifier(t, issuer).Verify(t.Context(), token); err != nil {
				t.Error(err)
			}
			issuer, token = issuerWith(t, f, other)
			if _, err := newVerifier(t, issuer).Verify(t.Context(), token); !errors.Is(err, tokendverify.ErrUnavailable) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestRedirectToPlaintextKeysIsRejected(t *testing.T) {
	f := newForger(t)
	own := errors.New("no redirect at all")
	for name, c := range map[string]struct {
		keys  func(own string) string
		check func(*http.Request, []*http.Request) error
		want  error
	}{
		"to plaintext":      {func(string) string { return f.URL + "/keys" }, nil, tokendverify.ErrUnavailable},
		"to TLS":            {func(own string) string { return own + "/keys" }, nil, nil},
		"to itself":         {func(own string) string { return own + "/moved" }, nil, tokendverify.ErrUnavailable},
		"refused by client": {func(own string) string { return own + "/keys" }, func(*http.Request, []*http.Request) error { return own }, own},
	} {
		t.Run(name, func(t *testing.T) {
			var url string
			mux := http.NewServeMux()
			mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
				_ = json.NewEncoder(w).Encode(map[string]string{"issuer": url, "jwks_uri": url + "/moved"})
			})
			mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, c.keys(url), http.StatusFound)
			})
			mux.Handle("/keys", f.Config.Handler)
			web := httptest.NewTLSServer(mux)
			t.Cleanup(web.Close)
			url = web.URL
			token := f.token(t, "ES256", "es256", "JWS", func(claims map[string]any) { claims["iss"] = url })
			client := web.Client()
			client.CheckRedirect = c.check
			verifier := newVerifier(t, url, tokendverify.WithHTTPClient(client))
			if _, err := verifier.Verify(t.Context(), token); !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
		})
	}
}

func TestKeysOfHTTPSIssuerRequireHTTPS(t *testing.T) {
	f := newForger(t)
	asItIs := func(url string) string { return url }
	plaintext := func(string) string { return f.URL + "/keys" }
	tls := func(own string) string { return own + "/keys" }
	for name, c := range map[string]struct {
		spelled func(url string) string
		keys    func(own string) string
		want    error
	}{
		"plaintext":                           {asItIs, plaintext, tokendverify.ErrUnavailable},
		"TLS":                                 {asItIs, tls, nil},
		"plaintext, of an issuer in capitals": {strings.ToUpper, plaintext, tokendverify.ErrUnavailable},
		"TLS, of an issuer in capitals":       {strings.ToUpper, tls, nil},
		"plaintext in capitals":               {asItIs, func(string) string { return strings.ToUpper(f.URL) + "/keys" }, tokendverify.ErrUnavailable},
		"TLS in capitals":                     {asItIs, func(own string) string { return strings.ToUpper(own) + "/keys" }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var url string
			mux := http.NewServeMux()
			mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
				_ = json.NewEncoder(w).Encode(map[string]string{"issuer": url, "jwks_uri": c.keys(url)})
			})
			mux.Handle("/keys", f.Config.Handler)
			web := httptest.NewTLSServer(mux)
			t.Cleanup(web.Close)
			url = c.spelled(web.URL)
			token := f.token(t, "ES256", "es256", "JWS", func(claims map[string]any) { claims["iss"] = url })
			verifier := newVerifier(t, url, tokendverify.WithHTTPClient(web.Client()))
			if _, err := verifier.Verify(t.Context(), token); !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
		})
	}
}
