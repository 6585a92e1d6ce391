package snippets

import (
	"errors"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"

	tokend "tokend.internal/go"
	"tokend.internal/go/tokendtest"
)

func TestWithoutAServer(t *testing.T) {
	server := tokendtest.NewServer()
	defer server.Close()
	request := tokend.TokenRequest{
		IdentityPoolID: tokendtest.IdentityPoolID,
		Logins:         tokend.Logins{tokendtest.DeveloperProviderName: tokend.NewSecret("user-4711")},
	}

	token, err := server.Client().GetOpenIdTokenForDeveloperIdentity(t.Context(), request)
	if err != nil || token.IdentityID == "" {
		t.Fatal(err)
	}

	server.Fail(tokendtest.Failure{Reason: tokend.NotAuthorized})
	_, err = server.Client().GetOpenIdTokenForDeveloperIdentity(t.Context(), request)
	if !errors.Is(err, tokend.NotAuthorized) {
		t.Fatal(err)
	}
}

func TestVerifierWithoutServer(t *testing.T) {
	server := tokendtest.NewServer()
	defer server.Close()

	provider, err := oidc.NewProvider(t.Context(), server.ServeIssuer())
	if err != nil {
		t.Fatal(err)
	}
	verifier := provider.Verifier(&oidc.Config{ClientID: tokendtest.IdentityPoolID})

	token, err := server.Client().GetOpenIdTokenForDeveloperIdentity(t.Context(), tokend.TokenRequest{
		IdentityPoolID: tokendtest.IdentityPoolID,
		Logins:         tokend.Logins{tokendtest.DeveloperProviderName: tokend.NewSecret("user-4711")},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := verifier.Verify(t.Context(), token.Value.Reveal()); err != nil {
		t.Fatal(err)
	}
}
