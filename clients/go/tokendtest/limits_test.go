package tokendtest_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"tokend.internal/go"
	"tokend.internal/go/tokendtest"
)

func TestAllViolationsAreReported(t *testing.T) {
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

func TestInvalidRequestsAreRejected(t *testing.T) {
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
