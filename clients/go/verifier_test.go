package tokend_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"tokend.internal/go"
	"tokend.internal/go/tokendtest"
	"tokend.internal/go/tokendverify"
)

func TestGoOIDCAcceptsOnlyTokensOfService(t *testing.T) {
	harness := newHarness(t)
	client := harness.client(t)
	provider, err := oidc.NewProvider(t.Context(), harness.issuer)
	if err != nil {
		t.Fatal(err)
	}
	for _, pool := range []string{"pool_rs512", "pool_rs256", "pool_es256"} {
		t.Run(pool, func(t *testing.T) {
			asked := tokend.TokenRequest{
				IdentityPoolID: harness.variables[pool],
				Logins:         tokend.Logins{harness.variables["developer_provider_name"]: tokend.NewSecret("verified user")},
				PrincipalTags:  map[string]string{"department": "Zoë & co"},
			}
			token := issue(t, client, asked)
			verify := func(raw string, change func(*oidc.Config)) (*oidc.IDToken, error) {
				config := &oidc.Config{ClientID: asked.IdentityPoolID}
				change(config)
				return provider.Verifier(config).Verify(t.Context(), raw)
			}
			asIs := func(*oidc.Config) {}
			raw := token.Value.Reveal()
			verified, err := verify(raw, asIs)
			if err != nil {
				t.Fatalf("refused: %v", err)
			}
			checkClaims(t, verified, token)
			checkIdentity(t, harness.issuer, asked.IdentityPoolID, token)
			for name, altered := range alterations(raw) {
				refused(t, name, func() error { _, err := verify(altered, asIs); return err })
			}
			refused(t, "expired", func() error {
				_, err := verify(raw, func(c *oidc.Config) { c.Now = func() time.Time { return token.ExpireTime.Add(time.Second) } })
				return err
			})
			refused(t, "of another audience", func() error {
				_, err := verify(raw, func(c *oidc.Config) { c.ClientID = harness.variables["pool"] })
				return err
			})
			refused(t, "of another issuer", func() error { _, err := verify(strangersToken(t, asked), asIs); return err })
			refused(t, "for another issuer", func() error {
				keys := oidc.NewRemoteKeySet(t.Context(), harness.issuer+"/.well-known/jwks.json")
				config := &oidc.Config{ClientID: asked.IdentityPoolID, SupportedSigningAlgs: []string{"RS512", "RS256", "ES256"}}
				if _, err := oidc.NewVerifier(harness.issuer, keys, config).Verify(t.Context(), raw); err != nil {
					t.Errorf("refused for its own issuer: %v", err)
				}
				_, err := oidc.NewVerifier("https://tokend.example.internal", keys, config).Verify(t.Context(), raw)
				return err
			})
		})
	}
}

func checkClaims(t *testing.T, verified *oidc.IDToken, token tokend.Token) {
	var claims struct {
		Tags struct {
			PrincipalTags map[string][]string `json:"principal_tags"`
		} `json:"https://aws.amazon.com/tags"`
	}
	if err := verified.Claims(&claims); err != nil {
		t.Fatal(err)
	}
	if verified.Subject != token.IdentityID || !verified.Expiry.Equal(token.ExpireTime) {
		t.Errorf("subject %s until %v, want %s until %v", verified.Subject, verified.Expiry, token.IdentityID, token.ExpireTime)
	}
	if got := claims.Tags.PrincipalTags["department"]; !slices.Equal(got, []string{"Zoë & co"}) {
		t.Errorf("tag %q", got)
	}
}

// checkIdentity verifies a token like a service that uses package tokendverify.
func checkIdentity(t *testing.T, issuer, pool string, token tokend.Token) {
	verifier, err := tokendverify.New(issuer, []string{pool})
	if err != nil {
		t.Fatal(err)
	}
	identity, err := verifier.Verify(t.Context(), token.Value.Reveal())
	if err != nil || identity.ID != token.IdentityID || identity.IdentityPoolID != pool ||
		identity.PrincipalTags["department"] != "Zoë & co" || len(identity.AuthenticationMethods) != 3 {
		t.Errorf("identity %+v, error %v", identity, err)
	}
	for name, altered := range alterations(token.Value.Reveal()) {
		refused(t, name, func() error { _, err := verifier.Verify(t.Context(), altered); return err })
	}
}

// alterations returns tokens with one character of a part replaced by another.
func alterations(raw string) map[string]string {
	parts := strings.Split(raw, ".")
	altered := map[string]string{}
	for i, name := range []string{"header", "payload", "signature"} {
		changed := slices.Clone(parts)
		middle := len(parts[i]) / 2
		replacement := "A"
		if parts[i][middle] == 'A' {
			replacement = "B"
		}
		changed[i] = parts[i][:middle] + replacement + parts[i][middle+1:]
		altered["altered "+name] = strings.Join(changed, ".")
	}
	altered["without signature"] = parts[0] + "." + parts[1] + "."
	return altered
}

func strangersToken(t *testing.T, asked tokend.TokenRequest) string {
	var provider string
	for provider = range asked.Logins {
	}
	stranger := newServer(t, tokendtest.WithPool(asked.IdentityPoolID, provider))
	stranger.ServeIssuer()
	return issue(t, stranger.Client(), asked).Value.Reveal()
}

func refused(t *testing.T, name string, verify func() error) {
	t.Helper()
	if verify() == nil {
		t.Errorf("accepted although it is %s", name)
	}
}
