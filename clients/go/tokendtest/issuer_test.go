package tokendtest_test

import (
	"encoding/json"
	"net/http/httptest"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"

	"tokend.internal/go"
	"tokend.internal/go/tokendtest"
)

func TestTokensAreSignedWithConfiguredAlgorithm(t *testing.T) {
	for name, c := range map[string]struct {
		opts []tokendtest.Option
		want jose.SignatureAlgorithm
	}{
		"as tokend does": {nil, jose.RS512},
		"RS256":          {[]tokendtest.Option{tokendtest.WithAlgorithm(tokendtest.RS256)}, jose.RS256},
		"ES256":          {[]tokendtest.Option{tokendtest.WithAlgorithm(tokendtest.ES256)}, jose.ES256},
	} {
		t.Run(name, func(t *testing.T) {
			server := tokendtest.NewServer(c.opts...)
			defer server.Close()
			provider, err := oidc.NewProvider(t.Context(), server.ServeIssuer())
			if err != nil {
				t.Fatal(err)
			}
			raw := issue(t, server.Client(), request("alice")).Value.Reveal()
			if _, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{c.want}); err != nil {
				t.Error(err)
			}
			verifier := provider.Verifier(&oidc.Config{ClientID: tokendtest.IdentityPoolID})
			if _, err := verifier.Verify(t.Context(), raw); err != nil {
				t.Error(err)
			}
		})
	}
	defer func() {
		if recover() == nil {
			t.Error("none was accepted")
		}
	}()
	tokendtest.WithAlgorithm("none")
}

func TestTokensVerifyWithServedKeysAfterRotation(t *testing.T) {
	server, client := start(t)
	issuer := server.ServeIssuer()
	asked := request("alice")
	asked.PrincipalTags = map[string]string{"team": "blue"}
	before := issue(t, client, asked)
	server.RotateKey()
	after := issue(t, client, asked)
	provider, err := oidc.NewProvider(t.Context(), issuer)
	if err != nil {
		t.Fatal(err)
	}
	verifier := provider.Verifier(&oidc.Config{ClientID: tokendtest.IdentityPoolID})
	for _, token := range []tokend.Token{before, after} {
		verified, err := verifier.Verify(t.Context(), token.Value.Reveal())
		if err != nil {
			t.Fatal(err)
		}
		var claims struct {
			Methods []string `json:"amr"`
			Tags    struct {
				PrincipalTags map[string][]string `json:"principal_tags"`
			} `json:"https://aws.amazon.com/tags"`
		}
		if err := verified.Claims(&claims); err != nil {
			t.Fatal(err)
		}
		user := tokendtest.DeveloperProviderName + ":" + tokendtest.IdentityPoolID + ":alice"
		if verified.Subject != token.IdentityID || !slices.Contains(claims.Methods, user) ||
			!slices.Equal(claims.Tags.PrincipalTags["team"], []string{"blue"}) {
			t.Errorf("claims %+v of %s", claims, verified.Subject)
		}
	}
	stranger, strangers := start(t)
	stranger.ServeIssuer()
	if _, err := verifier.Verify(t.Context(), issue(t, strangers, request("alice")).Value.Reveal()); err == nil {
		t.Error("a token of another issuer was accepted")
	}
}

func TestServersShareOnlyRSAKeys(t *testing.T) {
	for algorithm, shared := range map[tokendtest.Algorithm]bool{tokendtest.RS256: true, tokendtest.ES256: false} {
		t.Run(string(algorithm), func(t *testing.T) {
			ids := map[string]bool{}
			for range 2 {
				server := tokendtest.NewServer(tokendtest.WithAlgorithm(algorithm))
				defer server.Close()
				server.RotateKey()
				published := publishedKeys(t, server)
				if len(published) != 2 || published[0].KeyID == published[1].KeyID {
					t.Errorf("keys %v", published)
				}
				for _, key := range published {
					ids[key.KeyID] = true
				}
			}
			if want := map[bool]int{true: 2, false: 4}[shared]; len(ids) != want {
				t.Errorf("%d keys, want %d", len(ids), want)
			}
		})
	}
}

func publishedKeys(t *testing.T, server *tokendtest.Server) []jose.JSONWebKey {
	t.Helper()
	answer := httptest.NewRecorder()
	server.Handler().ServeHTTP(answer, httptest.NewRequest("GET", "/.well-known/jwks.json", nil))
	var set jose.JSONWebKeySet
	if err := json.NewDecoder(answer.Body).Decode(&set); err != nil {
		t.Fatal(err)
	}
	return set.Keys
}

func TestHandlerServesKeysOnAnotherServer(t *testing.T) {
	server, _ := start(t)
	web := httptest.NewServer(server.Handler())
	defer web.Close()
	response, err := web.Client().Get(web.URL + "/.well-known/jwks_uri")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != 200 || response.Header.Get("content-type") != "application/json" {
		t.Errorf("status %d", response.StatusCode)
	}
}

func TestTokenTimesFollowClockAndDuration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokendtest.NewServer(tokendtest.WithAlgorithm(tokendtest.ES256),
			tokendtest.WithClock(func() time.Time { return time.Unix(1_800_000_000, 5) }))
		defer server.Close()
		client := server.Client()
		for life, duration := range map[int64]*time.Duration{900: nil, 3600: pointer(time.Hour)} {
			asked := request("alice")
			asked.TokenDuration = duration
			token := issue(t, client, asked)
			if token.ExpireTime.Unix() != 1_800_000_000+life || token.RefreshTime.Unix() != 1_800_000_000+life/3 ||
				!token.IssueTime.Equal(time.Unix(1_800_000_000, 5)) {
				t.Errorf("issued %v, expires %v, refresh %v", token.IssueTime, token.ExpireTime.Unix(), token.RefreshTime.Unix())
			}
		}
	})
}
