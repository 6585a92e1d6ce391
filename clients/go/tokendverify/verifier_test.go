package tokendverify_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"tokend.internal/go"
	"tokend.internal/go/tokendtest"
	"tokend.internal/go/tokendverify"
)

// requests counts those that go through, and fails them while it is set to.
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

func newServer(t *testing.T, opts ...tokendtest.Option) *tokendtest.Server {
	server := tokendtest.NewServer(append([]tokendtest.Option{tokendtest.WithAlgorithm(tokendtest.ES256)}, opts...)...)
	server.ServeIssuer()
	t.Cleanup(server.Close)
	return server
}

func issue(t *testing.T, server *tokendtest.Server, change func(*tokend.TokenRequest)) tokend.Token {
	t.Helper()
	request := tokend.TokenRequest{
		IdentityPoolID: tokendtest.IdentityPoolID,
		Logins:         tokend.Logins{tokendtest.DeveloperProviderName: tokend.NewSecret("alice")},
	}
	if change != nil {
		change(&request)
	}
	token, err := server.Client().GetOpenIdTokenForDeveloperIdentity(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func newVerifier(t *testing.T, issuer string, opts ...tokendverify.Option) *tokendverify.Verifier {
	t.Helper()
	verifier, err := tokendverify.New(issuer, []string{"another", tokendtest.IdentityPoolID}, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return verifier
}

func TestATokenOfTheServiceNamesItsIdentity(t *testing.T) {
	server := newServer(t)
	token := issue(t, server, func(r *tokend.TokenRequest) { r.PrincipalTags = map[string]string{"team": "blue"} })
	identity, err := newVerifier(t, server.Issuer()).Verify(t.Context(), token.Value.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	if identity.ID != token.IdentityID || identity.IdentityPoolID != tokendtest.IdentityPoolID ||
		identity.Issuer != server.Issuer() || !identity.ExpireTime.Equal(token.ExpireTime) ||
		!identity.IssueTime.Equal(token.IssueTime.Truncate(time.Second)) {
		t.Errorf("%+v of %+v", identity, token)
	}
	if !maps.Equal(identity.PrincipalTags, map[string]string{"team": "blue"}) {
		t.Errorf("tags %v", identity.PrincipalTags)
	}
	methods := identity.AuthenticationMethods
	if len(methods) < 3 || methods[0].Reveal() != "authenticated" || strings.Contains(fmt.Sprintf("%+v", identity), "alice") {
		t.Errorf("%+v", identity)
	}
}

func TestATokenIsExpiredAfterTheLeeway(t *testing.T) {
	server := newServer(t)
	token := issue(t, server, nil)
	for name, c := range map[string]struct {
		opts []tokendverify.Option
		at   time.Duration // after the expiry
		want error
	}{
		"before its end":             {nil, -time.Second, nil},
		"at its end, without leeway": {[]tokendverify.Option{tokendverify.WithLeeway(0)}, 0, tokendverify.ErrExpired},
		"within a minute":            {nil, 59 * time.Second, nil},
		"after a minute":             {nil, 61 * time.Second, tokendverify.ErrExpired},
		"without leeway":             {[]tokendverify.Option{tokendverify.WithLeeway(0)}, time.Second, tokendverify.ErrExpired},
		"within an hour":             {[]tokendverify.Option{tokendverify.WithLeeway(time.Hour)}, 59 * time.Minute, nil},
		"before its end, no leeway":  {[]tokendverify.Option{tokendverify.WithLeeway(0)}, -time.Second, nil},
		"after an hour, as expected": {[]tokendverify.Option{tokendverify.WithLeeway(time.Hour)}, 61 * time.Minute, tokendverify.ErrRejected},
	} {
		t.Run(name, func(t *testing.T) {
			now := func() time.Time { return token.ExpireTime.Add(c.at) }
			verifier := newVerifier(t, server.Issuer(), append(c.opts, tokendverify.WithClock(now))...)
			if _, err := verifier.Verify(t.Context(), token.Value.Reveal()); !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
		})
	}
}

func TestATokenIsNotYetThereBeforeTheLeeway(t *testing.T) {
	f := newForger(t)
	for name, c := range map[string]struct {
		claim  string
		leeway time.Duration
		from   time.Duration // now
		good   bool
	}{
		"issued within a minute":       {"iat", time.Minute, 50 * time.Second, true},
		"issued in more than a minute": {"iat", time.Minute, 70 * time.Second, false},
		"issued within an hour":        {"iat", time.Hour, 59 * time.Minute, true},
		"begins within a minute":       {"nbf", time.Minute, 50 * time.Second, true},
		"begins in more than a minute": {"nbf", time.Minute, 70 * time.Second, false},
		"begins now, an hour's leeway": {"nbf", time.Hour, 0, true},
		"begins in more than an hour":  {"nbf", time.Hour, 61 * time.Minute, false},
		"begins later, no leeway":      {"nbf", 0, 30 * time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			token := f.token(t, "ES256", "es256", "JWS", func(claims map[string]any) {
				claims[c.claim] = time.Now().Add(c.from).Unix()
				claims["exp"] = time.Now().Add(2 * time.Hour).Unix()
			})
			_, err := newVerifier(t, f.URL, tokendverify.WithLeeway(c.leeway)).Verify(t.Context(), token)
			if c.good != (err == nil) || !c.good && !errors.Is(err, tokendverify.ErrRejected) {
				t.Error(err)
			}
		})
	}
}

// forger is an issuer that signs whatever it is given.
type forger struct {
	*httptest.Server

	rsa *rsa.PrivateKey
	ec  *ecdsa.PrivateKey
}

func newForger(t *testing.T) *forger {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	f := &forger{rsa: rsaKey, ec: ecKey}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": f.URL, "jwks_uri": f.URL + "/keys"})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
			{Key: rsaKey.Public(), KeyID: "rs512", Algorithm: "RS512", Use: "sig"},
			{Key: rsaKey.Public(), KeyID: "rs256", Algorithm: "RS256", Use: "sig"},
			{Key: ecKey.Public(), KeyID: "es256", Algorithm: "ES256"},
			{Key: rsaKey.Public(), KeyID: "rs384", Algorithm: "RS384", Use: "sig"},
			{Key: rsaKey.Public(), KeyID: "encryption", Algorithm: "RS512", Use: "enc"},
		}})
	})
	f.Server = httptest.NewServer(mux)
	t.Cleanup(f.Close)
	return f
}

// token is one that is good but for what is changed.
func (f *forger) token(t *testing.T, algorithm, id string, kind any, change func(map[string]any)) string {
	t.Helper()
	var key any = f.rsa
	switch algorithm {
	case "ES256":
		key = f.ec
	case "HS256": // with what everyone knows, the public key
		key = f.rsa.N.Bytes()
	}
	headers := map[jose.HeaderKey]any{}
	if kind != nil {
		headers[jose.HeaderType] = kind
	}
	if id != "" {
		headers["kid"] = id
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(algorithm), Key: key},
		&jose.SignerOptions{ExtraHeaders: headers})
	if err != nil {
		t.Fatal(err)
	}
	claims := map[string]any{
		"iss": f.URL, "aud": tokendtest.IdentityPoolID, "sub": "local:1",
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
	}
	if change != nil {
		change(claims)
	}
	payload, _ := json.Marshal(claims)
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	compact, _ := signed.CompactSerialize()
	return compact
}

func TestWhatATokenMayBe(t *testing.T) {
	f := newForger(t)
	set := func(name string, value any) func(map[string]any) {
		return func(claims map[string]any) { claims[name] = value }
	}
	without := func(name string) func(map[string]any) {
		return func(claims map[string]any) { delete(claims, name) }
	}
	for name, c := range map[string]struct {
		token string
		good  bool
	}{
		"RS512":                    {f.token(t, "RS512", "rs512", "JWS", nil), true},
		"RS256":                    {f.token(t, "RS256", "rs256", "JWS", nil), true},
		"ES256":                    {f.token(t, "ES256", "es256", "JWS", nil), true},
		"typ JWT":                  {f.token(t, "RS512", "rs512", "JWT", nil), true},
		"array of one audience":    {f.token(t, "RS512", "rs512", "JWS", set("aud", []string{"another"})), true},
		"several audiences":        {f.token(t, "RS512", "rs512", "JWS", set("aud", []string{"x", "another"})), false},
		"typ of access tokens":     {f.token(t, "RS512", "rs512", "at+jwt", nil), false},
		"typ that is no text":      {f.token(t, "RS512", "rs512", 1, nil), false},
		"no typ":                   {f.token(t, "RS512", "rs512", nil, nil), false},
		"algorithm of another key": {f.token(t, "RS256", "rs512", "JWS", nil), false},
		"algorithm not of tokend":  {f.token(t, "RS384", "rs384", "JWS", nil), false},
		"symmetric algorithm":      {f.token(t, "HS256", "rs512", "JWS", nil), false},
		"key for encryption":       {f.token(t, "RS512", "encryption", "JWS", nil), false},
		"unknown key":              {f.token(t, "RS512", "unknown", "JWS", nil), false},
		"no key id":                {f.token(t, "RS512", "", "JWS", nil), false},
		"signed by another's key":  {newForger(t).token(t, "RS512", "rs512", "JWS", set("iss", f.URL)), false},
		"another audience":         {f.token(t, "RS512", "rs512", "JWS", set("aud", "x")), false},
		"no audience":              {f.token(t, "RS512", "rs512", "JWS", without("aud")), false},
		"another issuer":           {f.token(t, "RS512", "rs512", "JWS", set("iss", f.URL+"/")), false},
		"no issuer":                {f.token(t, "RS512", "rs512", "JWS", without("iss")), false},
		"no sub":                   {f.token(t, "RS512", "rs512", "JWS", without("sub")), false},
		"no exp":                   {f.token(t, "RS512", "rs512", "JWS", without("exp")), false},
		"expired":                  {f.token(t, "RS512", "rs512", "JWS", set("exp", time.Now().Add(-time.Hour).Unix())), false},
		"not yet":                  {f.token(t, "RS512", "rs512", "JWS", set("nbf", time.Now().Add(time.Hour).Unix())), false},
		"amr of another shape":     {f.token(t, "RS512", "rs512", "JWS", set("amr", 1)), false},
		"empty":                    {"", false},
		"no token":                 {"a.b.c", false},
	} {
		t.Run(name, func(t *testing.T) {
			identity, err := newVerifier(t, f.URL).Verify(t.Context(), c.token)
			if c.good && (err != nil || identity.ID != "local:1") {
				t.Errorf("identity %+v, error %v", identity, err)
			}
			if !c.good && (!errors.Is(err, tokendverify.ErrRejected) || identity.ID != "") {
				t.Errorf("identity %+v, error %v", identity, err)
			}
		})
	}
}

func TestAVeryLongTokenIsNotLookedAt(t *testing.T) {
	f, seen := newForger(t), &requests{}
	verifier := newVerifier(t, f.URL, tokendverify.WithHTTPClient(&http.Client{Transport: seen}))
	within := func(length int) string {
		short := f.token(t, "ES256", "es256", "JWS", func(claims map[string]any) { claims["filling"] = "" })
		filling := strings.Repeat("x", (length-len(short))*3/4)
		return f.token(t, "ES256", "es256", "JWS", func(claims map[string]any) { claims["filling"] = filling })
	}
	if _, err := verifier.Verify(t.Context(), within(16_400)); !errors.Is(err, tokendverify.ErrRejected) ||
		!strings.Contains(err.Error(), "16384") || seen.count.Load() != 0 {
		t.Errorf("error %v, %d requests", err, seen.count.Load())
	}
	if _, err := verifier.Verify(t.Context(), within(16_380)); err != nil {
		t.Error(err)
	}
}

func TestAVerifierTakesWhatItIsSetTo(t *testing.T) {
	f := newForger(t)
	jws, jwt := f.token(t, "RS512", "rs512", "JWS", nil), f.token(t, "ES256", "es256", "JWT", nil)
	for name, c := range map[string]struct {
		opt      tokendverify.Option
		rejected string
		accepted string
	}{
		"type":      {tokendverify.WithTypes("JWT"), jws, jwt},
		"algorithm": {tokendverify.WithAlgorithms("RS512"), jwt, jws},
	} {
		verifier := newVerifier(t, f.URL, c.opt)
		if _, err := verifier.Verify(t.Context(), c.rejected); !errors.Is(err, tokendverify.ErrRejected) {
			t.Errorf("%s: error %v", name, err)
		}
		if _, err := verifier.Verify(t.Context(), c.accepted); err != nil {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestAnAlteredTokenIsRejected(t *testing.T) {
	server := newServer(t)
	verifier, raw := newVerifier(t, server.Issuer()), issue(t, server, nil).Value.Reveal()
	for i := range 3 {
		parts := strings.Split(raw, ".")
		middle := len(parts[i]) / 2
		replacement := "A"
		if parts[i][middle] == 'A' {
			replacement = "B"
		}
		parts[i] = parts[i][:middle] + replacement + parts[i][middle+1:]
		if _, err := verifier.Verify(t.Context(), strings.Join(parts, ".")); err == nil {
			t.Errorf("accepted although its part %d is altered", i)
		}
	}
}

// clock only moves when a test moves it.
type clock struct{ offset atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.offset.Load())) }
func (c *clock) advance(d time.Duration) { c.offset.Add(int64(d)) }

func TestKeysAreKeptAndFetchedAgainForANewOne(t *testing.T) {
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
	verify(strangers, tokendverify.ErrRejected, 3) // of unknown keys there is a pause
	verify(second, nil, 3)
	server.RotateKey()
	third := issue(t, server, nil)
	verify(third, tokendverify.ErrRejected, 3)
	clock.advance(6 * time.Second)
	verify(third, nil, 4)
	verify(first, nil, 4)
}

func TestKeysAreFetchedAgainInTheBackgroundAfterAWhile(t *testing.T) {
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

func TestTokensOfUnknownKeysMakeTheIssuerDoLittle(t *testing.T) {
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
	if got := seen.count.Load(); got > 4 { // a second fetch where the first one was for a key that is there
		t.Errorf("%d requests, want 4 at the most", got)
	}
	if _, err := verifier.Verify(t.Context(), f.token(t, "ES256", "es256", "JWS", nil)); err != nil {
		t.Error(err)
	}
}

func TestAnIssuerThatIsAwayIsNotMissedOnceItsKeysAreThere(t *testing.T) {
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

func TestACallerWaitsForTheKeysUntilItsOwnDeadline(t *testing.T) {
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

func TestAnIssuerThatBreaksDiscoveryHasNoKeys(t *testing.T) {
	f := newForger(t)
	for name, document := range map[string]string{
		"another issuer": `{"issuer": "https://tokend.example.internal", "jwks_uri": "%s/keys"}`,
		"no keys":        `{"issuer": "%[1]s", "jwks_uri": "%[1]s/none"}`,
		"no document":    `<html>`,
	} {
		t.Run(name, func(t *testing.T) {
			var url string
			mux := http.NewServeMux()
			mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
				_, _ = fmt.Fprintf(w, strings.ReplaceAll(document, "%s", "%[1]s"), url)
			})
			mux.Handle("/keys", f.Config.Handler)
			mux.HandleFunc("/none", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"keys": []}`)) })
			web := httptest.NewServer(mux)
			t.Cleanup(web.Close)
			url = web.URL
			token := f.token(t, "ES256", "es256", "JWS", nil)
			if _, err := newVerifier(t, url).Verify(t.Context(), token); !errors.Is(err, tokendverify.ErrUnavailable) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// issuerWith is an issuer with these keys. Its token is good if they are.
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

func TestKeysThatAreNotUnderstoodAreIgnored(t *testing.T) {
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

func TestARedirectDoesNotLeadToKeysInPlaintext(t *testing.T) {
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

func TestAnIssuerOverTLSDoesNotServeItsKeysInPlaintext(t *testing.T) {
	f := newForger(t)
	for name, c := range map[string]struct {
		keys func(own string) string
		want error
	}{
		"plaintext": {func(string) string { return f.URL + "/keys" }, tokendverify.ErrUnavailable},
		"TLS":       {func(own string) string { return own + "/keys" }, nil},
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
			url = web.URL
			token := f.token(t, "ES256", "es256", "JWS", func(claims map[string]any) { claims["iss"] = url })
			verifier := newVerifier(t, url, tokendverify.WithHTTPClient(web.Client()))
			if _, err := verifier.Verify(t.Context(), token); !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
		})
	}
}

func TestAVerifierIsNotMadeOfNothing(t *testing.T) {
	for _, c := range []struct {
		issuer string
		pools  []string
	}{{"", []string{"pool"}}, {"tokend.example.internal", []string{"pool"}}, {"https://x", nil}, {"https://x", []string{""}}} {
		if _, err := tokendverify.New(c.issuer, c.pools); err == nil {
			t.Errorf("made of %+v", c)
		}
	}
	for name, option := range map[string]func(){
		"negative leeway":   func() { tokendverify.WithLeeway(-1) },
		"unknown algorithm": func() { tokendverify.WithAlgorithms("none") },
		"no algorithm":      func() { tokendverify.WithAlgorithms() },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("no panic at: %s", name)
				}
			}()
			option()
		}()
	}
}
