package tokendtest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"google.golang.org/grpc/codes"

	"tokend.internal/go"
	"tokend.internal/go/tokendtest"
)

func start(t *testing.T, opts ...tokendtest.Option) (*tokendtest.Server, *tokend.Client) {
	server := tokendtest.NewServer(opts...)
	t.Cleanup(server.Close)
	return server, server.Client()
}

func request(user string) tokend.TokenRequest {
	return tokend.TokenRequest{
		IdentityPoolID: tokendtest.IdentityPoolID,
		Logins:         tokend.Logins{tokendtest.DeveloperProviderName: tokend.NewSecret(user)},
	}
}

func issue(t *testing.T, client *tokend.Client, request tokend.TokenRequest) tokend.Token {
	t.Helper()
	token, err := client.GetOpenIdTokenForDeveloperIdentity(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func wantReason(t *testing.T, err error, reason tokend.Reason) {
	t.Helper()
	if !errors.Is(err, reason) {
		t.Errorf("error %v, want %s", err, string(reason))
	}
}

func asError(err error) (failed *tokend.Error, ok bool) {
	ok = errors.As(err, &failed)
	return failed, ok
}

func pointer[T any](to T) *T { return &to }

func merge(client *tokend.Client, source, destination string) (string, error) {
	return client.MergeDeveloperIdentities(context.Background(), tokend.MergeRequest{
		SourceUserIdentifier: tokend.NewSecret(source), DestinationUserIdentifier: tokend.NewSecret(destination),
		DeveloperProviderName: tokendtest.DeveloperProviderName, IdentityPoolID: tokendtest.IdentityPoolID,
	})
}

func unlink(client *tokend.Client, identityID, user string) error {
	return client.UnlinkDeveloperIdentity(context.Background(), tokend.UnlinkRequest{
		IdentityID: identityID, DeveloperUserIdentifier: tokend.NewSecret(user),
		DeveloperProviderName: tokendtest.DeveloperProviderName, IdentityPoolID: tokendtest.IdentityPoolID,
	})
}

func lookup(client *tokend.Client, identityID, user string) (tokend.LookupResult, error) {
	return client.LookupDeveloperIdentity(context.Background(), tokend.LookupRequest{
		IdentityPoolID: tokendtest.IdentityPoolID, IdentityID: identityID, DeveloperUserIdentifier: tokend.NewSecret(user),
	})
}

func TestAUserIsRegisteredOnceAndThenRetrieved(t *testing.T) {
	_, client := start(t)
	first := issue(t, client, request("alice"))
	again := issue(t, client, request("alice"))
	other := issue(t, client, request("bob"))
	if first.IdentityID != again.IdentityID || first.IdentityID == other.IdentityID {
		t.Errorf("identities %s, %s and %s", first.IdentityID, again.IdentityID, other.IdentityID)
	}
	if !strings.HasPrefix(first.IdentityID, "local:") {
		t.Errorf("identity %s is of another region than its pool", first.IdentityID)
	}
}

func TestAUserIsLinkedToANamedIdentity(t *testing.T) {
	_, client := start(t)
	alice := issue(t, client, request("alice"))
	named := request("alice@home")
	named.IdentityID = alice.IdentityID
	if linked := issue(t, client, named); linked.IdentityID != alice.IdentityID {
		t.Errorf("linked to %s", linked.IdentityID)
	}
	bob := issue(t, client, request("bob"))
	named = request("alice")
	named.IdentityID = bob.IdentityID
	_, err := client.GetOpenIdTokenForDeveloperIdentity(t.Context(), named)
	wantReason(t, err, tokend.DeveloperUserAlreadyRegistered)
}

func TestAnIdentityHasAtMostTwentyLogins(t *testing.T) {
	_, client := start(t)
	alice := issue(t, client, request("alice"))
	for i := range 19 {
		more := request(fmt.Sprint("alice", i))
		more.IdentityID = alice.IdentityID
		issue(t, client, more)
	}
	more := request("one more")
	more.IdentityID = alice.IdentityID
	_, err := client.GetOpenIdTokenForDeveloperIdentity(t.Context(), more)
	wantReason(t, err, tokend.LimitExceeded)
	issue(t, client, request("one more"))
	_, err = merge(client, "one more", "alice")
	wantReason(t, err, tokend.LimitExceeded)
}

func TestMergedUsersShareTheDestinationsIdentityAndTheSourceIsDisabled(t *testing.T) {
	_, client := start(t)
	alice, bob := issue(t, client, request("alice")), issue(t, client, request("bob"))
	for range 2 {
		if merged, err := merge(client, "bob", "alice"); err != nil || merged != alice.IdentityID {
			t.Fatalf("merged into %s, error %v", merged, err)
		}
	}
	if again := issue(t, client, request("bob")); again.IdentityID != alice.IdentityID {
		t.Errorf("bob has %s", again.IdentityID)
	}
	disabled := request("carol")
	disabled.IdentityID = bob.IdentityID
	_, err := client.GetOpenIdTokenForDeveloperIdentity(t.Context(), disabled)
	wantReason(t, err, tokend.NotAuthorized)
	for _, pair := range [][2]string{{"unknown", "alice"}, {"alice", "unknown"}} {
		_, err = merge(client, pair[0], pair[1])
		wantReason(t, err, tokend.ResourceNotFound)
	}
}

func TestAnUnlinkedUserGetsANewIdentity(t *testing.T) {
	_, client := start(t)
	alice, bob := issue(t, client, request("alice")), issue(t, client, request("bob"))
	wantReason(t, unlink(client, alice.IdentityID, "bob"), tokend.ResourceConflict)
	if err := unlink(client, alice.IdentityID, "alice"); err != nil {
		t.Fatal(err)
	}
	wantReason(t, unlink(client, alice.IdentityID, "alice"), tokend.ResourceNotFound)
	wantReason(t, unlink(client, "local:0", "bob"), tokend.ResourceNotFound)
	again := issue(t, client, request("alice"))
	if again.IdentityID == alice.IdentityID || again.IdentityID == bob.IdentityID {
		t.Errorf("alice has %s again", again.IdentityID)
	}
	named := request("carol")
	named.IdentityID = alice.IdentityID
	_, err := client.GetOpenIdTokenForDeveloperIdentity(t.Context(), named)
	wantReason(t, err, tokend.NotAuthorized)
}

func TestLookupFindsTheIdentityOfAUserAndChecksPairs(t *testing.T) {
	_, client := start(t)
	alice := issue(t, client, request("alice"))
	issue(t, client, request("bob"))
	if _, err := merge(client, "bob", "alice"); err != nil {
		t.Fatal(err)
	}
	byUser, err := lookup(client, "", "bob")
	if err != nil || byUser.IdentityID != alice.IdentityID || !slices.Equal(revealed(byUser), []string{"alice", "bob"}) {
		t.Errorf("found %v of %s, error %v", revealed(byUser), byUser.IdentityID, err)
	}
	pair, err := lookup(client, alice.IdentityID, "bob")
	if err != nil || !slices.Equal(revealed(pair), []string{"bob"}) {
		t.Errorf("found %v, error %v", revealed(pair), err)
	}
	_, err = lookup(client, alice.IdentityID, "carol")
	wantReason(t, err, tokend.ResourceConflict)
	_, err = lookup(client, "", "carol")
	wantReason(t, err, tokend.ResourceNotFound)
	_, err = lookup(client, "", "")
	wantReason(t, err, tokend.InvalidParameter)
	_, err = client.LookupDeveloperIdentity(t.Context(), tokend.LookupRequest{
		IdentityPoolID: tokendtest.IdentityPoolID, IdentityID: alice.IdentityID, NextToken: "not one!",
	})
	if failed, ok := asError(err); !ok || failed.Code != codes.InvalidArgument {
		t.Errorf("error %v", err)
	}
}

func revealed(identity tokend.LookupResult) []string {
	var users []string
	for _, user := range identity.DeveloperUserIdentifiers {
		users = append(users, user.Reveal())
	}
	return users
}

func TestAllFieldsThatBreakTheirLimitsAreNamed(t *testing.T) {
	_, client := start(t)
	wrong := tokend.TokenRequest{
		IdentityPoolID: "no pool", IdentityID: strings.Repeat("a", 56) + ":0",
		Logins:        tokend.Logins{strings.Repeat("p", 129): tokend.NewSecret(strings.Repeat("é", 50_001))},
		PrincipalTags: map[string]string{"": ""}, TokenDuration: pointer(25 * time.Hour),
	}
	_, err := client.GetOpenIdTokenForDeveloperIdentity(t.Context(), wrong)
	wantReason(t, err, tokend.ValidationFailed)
	failed, _ := asError(err)
	var fields []string
	for _, violation := range failed.Violations {
		fields = append(fields, violation.Field)
	}
	want := []string{
		"identity_pool_id", "identity_id", "logins.key", "logins.value", "principal_tags.key", "principal_tags.value",
		"token_duration",
	}
	if !slices.Equal(fields, want) {
		t.Errorf("fields %v, want %v", fields, want)
	}
	_, err = merge(client, "", strings.Repeat("u", 1025))
	wantReason(t, err, tokend.ValidationFailed)
	wantReason(t, unlink(client, "", ""), tokend.ValidationFailed)
	issue(t, client, request(strings.Repeat("é", 50_000)))
}

func TestWhatThePoolCannotAcceptIsRefused(t *testing.T) {
	_, client := start(t, tokendtest.WithPool("eu-west-1:0", "login.other.internal"))
	unknown := request("alice")
	unknown.IdentityPoolID = "eu-west-1:1"
	_, err := client.GetOpenIdTokenForDeveloperIdentity(t.Context(), unknown)
	wantReason(t, err, tokend.ResourceNotFound)
	if failed, _ := asError(err); failed.ResourceType != "IdentityPool" || failed.ResourceName != "eu-west-1:1" {
		t.Errorf("it is a %s %s", failed.ResourceType, failed.ResourceName)
	}
	wrongProvider := request("alice")
	wrongProvider.IdentityPoolID = "eu-west-1:0"
	_, err = client.GetOpenIdTokenForDeveloperIdentity(t.Context(), wrongProvider)
	wantReason(t, err, tokend.InvalidParameter)
	public := request("alice")
	public.Logins["accounts.google.com"] = tokend.NewSecret("id token")
	_, err = client.GetOpenIdTokenForDeveloperIdentity(t.Context(), public)
	wantReason(t, err, tokend.InvalidParameter)
	_, err = client.MergeDeveloperIdentities(t.Context(), tokend.MergeRequest{
		SourceUserIdentifier: tokend.NewSecret("a"), DestinationUserIdentifier: tokend.NewSecret("b"),
		DeveloperProviderName: "login.other.internal", IdentityPoolID: tokendtest.IdentityPoolID,
	})
	wantReason(t, err, tokend.InvalidParameter)
}

func TestFailuresComeAsOftenAsTheyAreAskedFor(t *testing.T) {
	server, client := start(t)
	server.FailNext(tokendtest.Failure{Reason: tokend.NotAuthorized})
	_, err := client.GetOpenIdTokenForDeveloperIdentity(t.Context(), request("alice"))
	wantReason(t, err, tokend.NotAuthorized)
	issue(t, client, request("alice"))
	server.Fail(tokendtest.Failure{Reason: tokend.Internal})
	for range 2 {
		_, err = client.GetOpenIdTokenForDeveloperIdentity(t.Context(), request("alice"))
		wantReason(t, err, tokend.Internal)
	}
	server.Recover()
	issue(t, client, request("alice"))
	if calls := server.Calls("GetOpenIdTokenForDeveloperIdentity"); calls != 5 {
		t.Errorf("%d calls", calls)
	}
}

func TestTimesFollowTheClockAndTheDuration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokendtest.NewServer(tokendtest.WithClock(func() time.Time { return time.Unix(1_800_000_000, 5) }))
		defer server.Close()
		client := server.Client()
		for life, duration := range map[int64]*time.Duration{900: nil, 3600: pointer(time.Hour)} {
			asked := request("alice")
			asked.TokenDuration = duration
			token := issue(t, client, asked)
			if token.ExpireTime.Unix() != 1_800_000_000+life || token.RefreshTime.Unix() != 1_800_000_000+life/3 {
				t.Errorf("expires %v, refresh %v", token.ExpireTime.Unix(), token.RefreshTime.Unix())
			}
		}
	})
}

func TestTokensVerifyWithTheServedKeysAlsoAfterARotation(t *testing.T) {
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
	stranger := tokendtest.NewServer()
	defer stranger.Close()
	stranger.ServeIssuer()
	if _, err := verifier.Verify(t.Context(), issue(t, stranger.Client(), request("alice")).Value.Reveal()); err == nil {
		t.Error("a token of another issuer was accepted")
	}
}

func TestTheHandlerServesWhereItsUserPutsIt(t *testing.T) {
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
