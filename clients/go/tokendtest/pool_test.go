package tokendtest_test

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"tokend.internal/go"
	"tokend.internal/go/tokendtest"
)

func TestUserIsRegisteredOnceAndThenRetrieved(t *testing.T) {
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

func TestUserIsLinkedToGivenIdentity(t *testing.T) {
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

func TestIdentityHasAtMostTwentyLogins(t *testing.T) {
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

// wantFull checks for a failure that names the identity at its limit, as in the contract.
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

func TestMergedUsersShareDestinationIdentityAndSourceIsDisabled(t *testing.T) {
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

func TestUnlinkedUserGetsNewIdentity(t *testing.T) {
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

func TestLoginsOfOneRequestAreLinked(t *testing.T) {
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
		"public login of another": withLogin(request("bob"), "accounts.google.com", "alice@google"),
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

func TestLookupIsPaginated(t *testing.T) {
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
