package snippets

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	tokend "tokend.internal/go"
	"tokend.internal/go/tokendtest"
	"tokend.internal/go/tokendverify"
)

const credentialsOfSTS = `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>%s</AccessKeyId><SecretAccessKey>s</SecretAccessKey>
<SessionToken>t</SessionToken><Expiration>2100-01-01T00:00:00Z</Expiration></Credentials>
</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`

func newSource(t *testing.T) *tokend.CachedTokenSource {
	server := tokendtest.NewServer(tokendtest.WithAlgorithm(tokendtest.ES256))
	t.Cleanup(server.Close)
	source := tokend.NewTokenSource(server.Client(), tokend.TokenRequest{
		IdentityPoolID: tokendtest.IdentityPoolID,
		Logins:         tokend.Logins{tokendtest.DeveloperProviderName: tokend.NewSecret("user-4711")},
	})
	t.Cleanup(func() { _ = source.Close() })
	return source
}

func TestSTSReturnsCredentialsForTokenOfSource(t *testing.T) {
	source := newSource(t)
	var action, role, webIdentityToken string
	fake := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		action, role, webIdentityToken = r.FormValue("Action"), r.FormValue("RoleArn"), r.FormValue("WebIdentityToken")
		_, _ = fmt.Fprintf(w, credentialsOfSTS, "AKIDEXAMPLE")
	}))
	defer fake.Close()
	client := sts.New(sts.Options{Region: "eu-west-1", BaseEndpoint: aws.String(fake.URL)})
	exchanged, err := exchange(source, client).Retrieve(t.Context())
	if err != nil || exchanged.AccessKeyID != "AKIDEXAMPLE" {
		t.Fatalf("credentials %s, error %v", exchanged.AccessKeyID, err)
	}
	token, err := source.Token(t.Context())
	if err != nil || webIdentityToken != token.Value.Reveal() {
		t.Errorf("STS got another token than the source's, error %v", err)
	}
	if action != "AssumeRoleWithWebIdentity" || role != "arn:aws:iam::123456789012:role/billing" {
		t.Errorf("STS was asked for %s of %s", action, role)
	}
}

func TestHTTPClientSendsToken(t *testing.T) {
	source := newSource(t)
	var authorization string
	api := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		authorization = r.Header.Get("authorization")
	}))
	defer api.Close()
	client := overHTTP(source)
	client.Transport.(*tokend.Transport).Base = api.Client().Transport
	response, err := client.Get(api.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	token, err := source.Token(t.Context())
	if err != nil || authorization != "Bearer "+token.Value.Reveal() {
		t.Errorf("sent %d characters, error %v", len(authorization), err)
	}
}

func TestSourcesAndCachesOfReadmeReturnTokens(t *testing.T) {
	server := tokendtest.NewServer(tokendtest.WithAlgorithm(tokendtest.ES256))
	defer server.Close()
	one, err := oneUser(t.Context(), server.Client())
	if err != nil {
		t.Fatal(err)
	}
	many, err := manyUsers(t.Context(), server.Client(), "billing-service")
	if err != nil || many.IdentityID != one.IdentityID {
		t.Errorf("identities %s and %s, error %v", one.IdentityID, many.IdentityID, err)
	}
	decide(err)
}

func TestCallUsesSourceOfUserInContext(t *testing.T) {
	server := tokendtest.NewServer(tokendtest.WithAlgorithm(tokendtest.ES256))
	defer server.Close()
	cache := tokend.NewTokenCache(server.Client())
	defer cache.Close()
	source, identities := perUser(cache), map[string]bool{}
	for _, user := range []string{"alice", "bob", "alice"} {
		token, err := source.Token(context.WithValue(t.Context(), userKey{}, user))
		if err != nil {
			t.Fatal(err)
		}
		identities[token.IdentityID] = true
	}
	if calls := server.Calls("GetOpenIdTokenForDeveloperIdentity"); len(identities) != 2 || calls != 2 {
		t.Errorf("%d identities of 2 users after %d calls", len(identities), calls)
	}
	if _, err := source.Token(t.Context()); status.Code(err) != codes.Unauthenticated {
		t.Errorf("error %v without a user", err)
	}
}

func TestServiceOfReadmeReadsIdentityOfCaller(t *testing.T) {
	server := tokendtest.NewServer(tokendtest.WithAlgorithm(tokendtest.ES256))
	defer server.Close()
	verifier, err := tokendverify.New(server.ServeIssuer(), []string{tokendtest.IdentityPoolID})
	if err != nil {
		t.Fatal(err)
	}
	service := httptest.NewTLSServer(greeting(verifier))
	defer service.Close()
	source := tokend.NewTokenSource(server.Client(), tokend.TokenRequest{
		IdentityPoolID: tokendtest.IdentityPoolID,
		Logins:         tokend.Logins{tokendtest.DeveloperProviderName: tokend.NewSecret("user-4711")},
		PrincipalTags:  map[string]string{"department": "billing"},
	})
	defer source.Close()
	client := overHTTP(source)
	client.Transport.(*tokend.Transport).Base = service.Client().Transport
	response, err := client.Get(service.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	token, _ := source.Token(t.Context())
	if want := "hello " + token.IdentityID + " billing\n"; string(body) != want {
		t.Errorf("%q, want %q", body, want)
	}
}

func TestClientsOfReadmeAreCreated(t *testing.T) {
	for _, connect := range []func() (*tokend.Client, error){
		observed, byToken, func() (*tokend.Client, error) { return byCertificate(x509.NewCertPool()) },
	} {
		client, err := connect()
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
	}
	if _, err := verifying(); err != nil {
		t.Error(err)
	}
	connection, err := attach(newSource(t))
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
}
