package tokendtest_test

import (
	"context"
	"errors"
	"testing"

	"tokend.internal/go"
	"tokend.internal/go/tokendtest"
)

const operation = "GetOpenIdTokenForDeveloperIdentity"

func start(t *testing.T, opts ...tokendtest.Option) (*tokendtest.Server, *tokend.Client) {
	server := tokendtest.NewServer(append([]tokendtest.Option{tokendtest.WithAlgorithm(tokendtest.ES256)}, opts...)...)
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

func revealed(identity tokend.LookupResult) []string {
	var users []string
	for _, user := range identity.DeveloperUserIdentifiers {
		users = append(users, user.Reveal())
	}
	return users
}
