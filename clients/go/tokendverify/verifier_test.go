package tokendverify_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"tokend.internal/go"
	"tokend.internal/go/tokendtest"
	"tokend.internal/go/tokendverify"
)

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

func TestTokenHasIdentity(t *testing.T) {
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

func TestTokenIsExpiredAfterLeeway(t *testing.T) {
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

func TestTokenIsNotValidBeforeLeeway(t *testing.T) {
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

// token returns a token that is valid, except for the given changes.
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
	return sign(t, signer, payload)
}

func sign(t *testing.T, signer jose.Signer, payload []byte) string {
	t.Helper()
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	compact, _ := signed.CompactSerialize()
	return compact
}

func TestClaimNamesAreUniqueAndCaseSensitive(t *testing.T) {
	f := newForger(t)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: f.ec, KeyID: "es256"}},
		(&jose.SignerOptions{}).WithType("JWS"))
	if err != nil {
		t.Fatal(err)
	}
	verifier := newVerifier(t, f.URL)
	for name, c := range map[string]struct {
		subject string
		good    bool
	}{
		"exactly":            {`"sub": "local:1"`, true},
		"in capitals":        {`"SUB": "local:1"`, false},
		"beside the exact":   {`"sub": "local:1", "SUB": "local:2", "\u017fub": "local:3"`, true},
		"twice":              {`"sub": "local:1", "sub": "local:1"`, false},
		"twice, of escapes":  {`"sub": "local:1", "\u0073ub": "local:2"`, false},
		"twice within a tag": {`"sub": "local:1", "https://aws.amazon.com/tags": {"principal_tags": {"a": ["1"], "a": ["2"]}}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Now().Unix()
			payload := fmt.Sprintf(`{"iss": %q, "aud": %q, "iat": %d, "exp": %d, %s}`,
				f.URL, tokendtest.IdentityPoolID, now, now+900, c.subject)
			identity, err := verifier.Verify(t.Context(), sign(t, signer, []byte(payload)))
			if c.good && (err != nil || identity.ID != "local:1") || !c.good && !errors.Is(err, tokendverify.ErrRejected) {
				t.Errorf("identity %+v, error %v", identity, err)
			}
		})
	}
}

func TestTokenRequiresValidHeaderSignatureAndClaims(t *testing.T) {
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

func TestTooLongTokenIsRejected(t *testing.T) {
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

func TestOnlyCanonicalEncodingIsAccepted(t *testing.T) {
	f := newForger(t)
	verifier := newVerifier(t, f.URL)
	good := f.token(t, "RS512", "rs512", "JWS", nil)
	last := len(good) - 1 // the last character of 256 octets has four bits that are zero
	for name, token := range map[string]string{
		"other bits":               good[:last] + string(good[last]+1),
		"a newline at the end":     good + "\n",
		"a newline in the header":  good[:10] + "\n" + good[10:],
		"newline in the signature": good[:last-10] + "\r\n" + good[last-10:],
	} {
		if _, err := verifier.Verify(t.Context(), token); !errors.Is(err, tokendverify.ErrRejected) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if _, err := verifier.Verify(t.Context(), good); err != nil {
		t.Error(err)
	}
}

func TestVerifierOptionsSetAlgorithmsAndTypes(t *testing.T) {
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

func TestAlteredTokenIsRejected(t *testing.T) {
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

func TestInvalidVerifierSettingsAreRejected(t *testing.T) {
	for _, c := range []struct {
		issuer string
		pools  []string
	}{{"", []string{"pool"}}, {"tokend.example.internal", []string{"pool"}}, {"https://x", nil}, {"https://x", []string{""}}} {
		if _, err := tokendverify.New(c.issuer, c.pools); err == nil {
			t.Errorf("made of %+v", c)
		}
	}
	for want, option := range map[string]func(){
		"tokendverify: leeway must not be negative: -1ns": func() { tokendverify.WithLeeway(-1) },
		"tokendverify: tokend does not sign with none":    func() { tokendverify.WithAlgorithms("none") },
		"tokendverify: no algorithm":                      func() { tokendverify.WithAlgorithms() },
		"tokendverify: no type":                           func() { tokendverify.WithTypes() },
	} {
		func() {
			defer func() {
				if got := recover(); got != want {
					t.Errorf("panic %v, want %s", got, want)
				}
			}()
			option()
		}()
	}
}
