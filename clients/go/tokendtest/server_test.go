package tokendtest_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"tokend.internal/go"
	"tokend.internal/go/tokendtest"
)

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
	wantFull(t, err, alice.IdentityID)
	issue(t, client, request("one more"))
	_, err = merge(client, "one more", "alice")
	wantFull(t, err, alice.IdentityID)
}

// wantFull demands a failure that says which identity has no room, as the contract has it.
func wantFull(t *testing.T, err error, identityID string) {
	t.Helper()
	wantReason(t, err, tokend.LimitExceeded)
	for _, detail := range status.Convert(err).Details() {
		quota, is := detail.(*errdetails.QuotaFailure)
		if is && len(quota.GetViolations()) == 1 && quota.GetViolations()[0].GetSubject() == identityID {
			return
		}
	}
	t.Errorf("details %v, want a QuotaFailure of %s", status.Convert(err).Details(), identityID)
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

func withLogin(asked tokend.TokenRequest, provider, login string) tokend.TokenRequest {
	asked.Logins = maps.Clone(asked.Logins)
	asked.Logins[provider] = tokend.NewSecret(login)
	return asked
}

func TestLoginsThatComeTogetherAreLinked(t *testing.T) {
	_, client := start(t)
	alice := issue(t, client, withLogin(request("alice"), "accounts.google.com", "alice@google"))
	same := issue(t, client, withLogin(request("alice at work"), "accounts.google.com", "alice@google"))
	if same.IdentityID != alice.IdentityID {
		t.Errorf("identities %s and %s", alice.IdentityID, same.IdentityID)
	}
	found, err := lookup(client, alice.IdentityID, "")
	if err != nil || !slices.Equal(revealed(found), []string{"alice", "alice at work"}) {
		t.Errorf("found %v, error %v", revealed(found), err)
	}
	bob := issue(t, client, withLogin(request("bob"), "accounts.google.com", "bob@google"))
	named := withLogin(request("carol"), "accounts.google.com", "bob@google")
	named.IdentityID = alice.IdentityID
	for name, asked := range map[string]tokend.TokenRequest{
		"logins of two":           withLogin(request("alice"), "accounts.google.com", "bob@google"),
		"a login of another":      named,
		"a second at a provider":  withLogin(request("alice"), "accounts.google.com", "alice@home"),
		"the developer user's is": withLogin(request("bob"), "accounts.google.com", "alice@google"),
	} {
		_, err := client.GetOpenIdTokenForDeveloperIdentity(t.Context(), asked)
		if !errors.Is(err, tokend.ResourceConflict) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	_, err = merge(client, "bob", "alice")
	wantReason(t, err, tokend.ResourceConflict)
	if err := unlink(client, bob.IdentityID, "bob"); err != nil {
		t.Fatal(err)
	}
	stranger := request("dave")
	stranger.IdentityID = bob.IdentityID // of which only the public login is left
	_, err = client.GetOpenIdTokenForDeveloperIdentity(t.Context(), stranger)
	wantReason(t, err, tokend.NotAuthorized)
	known := withLogin(stranger, "accounts.google.com", "bob@google")
	if again := issue(t, client, known); again.IdentityID != bob.IdentityID {
		t.Errorf("identity %s, want %s", again.IdentityID, bob.IdentityID)
	}
}

func TestPagesFollowEachOther(t *testing.T) {
	_, client := start(t)
	alice := issue(t, client, request("alice"))
	for _, user := range []string{"bob", "carol", "dave", "erin"} {
		linked := request(user)
		linked.IdentityID = alice.IdentityID
		issue(t, client, linked)
	}
	asked := tokend.LookupRequest{
		IdentityPoolID: tokendtest.IdentityPoolID, IdentityID: alice.IdentityID, MaxResults: 2,
	}
	var pages [][]string
	for {
		page, err := client.LookupDeveloperIdentity(t.Context(), asked)
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, revealed(page))
		if page.NextToken == "" {
			break
		}
		asked.NextToken = page.NextToken
	}
	want := [][]string{{"alice", "bob"}, {"carol", "dave"}, {"erin"}}
	if !reflect.DeepEqual(pages, want) {
		t.Errorf("pages %v, want %v", pages, want)
	}
	asked.IdentityID = issue(t, client, request("frank")).IdentityID
	_, err := client.LookupDeveloperIdentity(t.Context(), asked)
	wantReason(t, err, tokend.InvalidParameter)
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
	_, err = client.MergeDeveloperIdentities(t.Context(), tokend.MergeRequest{
		SourceUserIdentifier: tokend.NewSecret("a"), DestinationUserIdentifier: tokend.NewSecret("b"),
		DeveloperProviderName: "login.other.internal", IdentityPoolID: tokendtest.IdentityPoolID,
	})
	wantReason(t, err, tokend.InvalidParameter)
}

func TestTokensAreSignedByTheAlgorithmThatIsAskedFor(t *testing.T) {
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
	if calls := server.Calls(operation); calls != 5 {
		t.Errorf("%d calls", calls)
	}
}

func TestAFailureIsAsItIsGiven(t *testing.T) {
	server, client := start(t)
	server.Fail(tokendtest.Failure{
		Reason: tokend.ValidationFailed, Code: codes.Aborted, Message: "No.", RetryDelay: time.Minute,
		AWSErrorCode: "OtherException", AWSRequestID: "request-1",
		Violations: []tokend.FieldViolation{{Field: "logins", Constraint: "no"}, {Field: "identity_id", Constraint: "none"}},
	})
	_, err := client.GetOpenIdTokenForDeveloperIdentity(t.Context(), request("alice"))
	failed, ok := asError(err)
	if !ok || failed.Code != codes.Aborted || failed.Reason != tokend.ValidationFailed || failed.RetryDelay != time.Minute ||
		failed.AWSErrorCode != "OtherException" || failed.AWSRequestID != "request-1" || len(failed.Violations) != 2 {
		t.Errorf("failure %+v", failed)
	}
	server.Fail(tokendtest.Failure{Code: codes.Aborted})
	_, err = client.GetOpenIdTokenForDeveloperIdentity(t.Context(), request("alice"))
	if failed, ok := asError(err); !ok || failed.Code != codes.Aborted || failed.Reason != "" || failed.AWSErrorCode != "" {
		t.Errorf("failure %+v", failed)
	}
}

func TestACallThatHangsEndsWithItsCallersDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokendtest.NewServer(tokendtest.WithAlgorithm(tokendtest.ES256))
		defer server.Close()
		client := server.Client()
		server.Fail(tokendtest.Failure{Hang: true})
		begin := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err := client.GetOpenIdTokenForDeveloperIdentity(ctx, request("alice"))
		if took := time.Since(begin); !errors.Is(err, context.DeadlineExceeded) || took < 3*time.Second {
			t.Errorf("error %v after %v", err, took)
		}
		server.Recover()
		server.FailNext(tokendtest.Failure{Hang: true})
		issue(t, client, request("alice")) // by the client's second attempt
	})
}

func TestCallsWaitWhileTheServerIsPaused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokendtest.NewServer(tokendtest.WithAlgorithm(tokendtest.ES256))
		defer server.Close()
		client, answered := server.Client(), make(chan error, 2)
		server.Pause()
		for range 2 {
			go func() {
				_, err := client.GetOpenIdTokenForDeveloperIdentity(t.Context(), request("alice"))
				answered <- err
			}()
		}
		if err := server.WaitForCalls(t.Context(), operation, 2); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(answered) != 0 {
			t.Errorf("%d calls were answered", len(answered))
		}
		server.FailNext(tokendtest.Failure{Reason: tokend.NotAuthorized})
		server.Resume()
		if first, second := <-answered, <-answered; !errors.Is(errors.Join(first, second), tokend.NotAuthorized) ||
			first != nil && second != nil {
			t.Errorf("errors %v and %v, want NOT_AUTHORIZED once", first, second)
		}
		issue(t, client, request("alice"))
	})
}

func TestAPausedCallEndsWithItsCallersDeadlineToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokendtest.NewServer()
		defer server.Close()
		server.Pause()
		_, err := server.Client().GetOpenIdTokenForDeveloperIdentity(t.Context(), request("alice"))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	})
}

func TestWhoWaitsForCallsWaitsNoLongerThanTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokendtest.NewServer(tokendtest.WithAlgorithm(tokendtest.ES256))
		defer server.Close()
		issue(t, server.Client(), request("alice"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := server.WaitForCalls(ctx, operation, 1); err != nil {
			t.Error(err)
		}
		if err := server.WaitForCalls(ctx, operation, 2); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	})
}

func TestTimesFollowTheClockAndTheDuration(t *testing.T) {
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
