package tokend_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"tokend.internal/go"
	"tokend.internal/go/tokendtest"
	"tokend.internal/go/tokendv1"
)

const getToken = "GetOpenIdTokenForDeveloperIdentity"

func newServer(t *testing.T, opts ...tokendtest.Option) *tokendtest.Server {
	server := tokendtest.NewServer(append([]tokendtest.Option{tokendtest.WithAlgorithm(tokendtest.ES256)}, opts...)...)
	t.Cleanup(server.Close)
	return server
}

func TestUsersAreMergedLookedUpAndUnlinked(t *testing.T) {
	client := newServer(t).Client()
	alice := issue(t, client, request("alice"))
	bob := issue(t, client, request("bob"))
	if alice.IdentityID == bob.IdentityID {
		t.Fatal("two users share an identity")
	}
	merged, err := client.MergeDeveloperIdentities(t.Context(), tokend.MergeRequest{
		SourceUserIdentifier: tokend.NewSecret("bob"), DestinationUserIdentifier: tokend.NewSecret("alice"),
		DeveloperProviderName: tokendtest.DeveloperProviderName, IdentityPoolID: tokendtest.IdentityPoolID,
	})
	if err != nil || merged != alice.IdentityID {
		t.Fatalf("merged into %q, error %v", merged, err)
	}
	first, err := client.LookupDeveloperIdentity(t.Context(), tokend.LookupRequest{
		IdentityPoolID: tokendtest.IdentityPoolID, IdentityID: merged, MaxResults: 1,
	})
	if err != nil || !usersAre(first, "alice") || first.NextToken == "" {
		t.Fatalf("first page %v, error %v", first, err)
	}
	second, err := client.LookupDeveloperIdentity(t.Context(), tokend.LookupRequest{
		IdentityPoolID: tokendtest.IdentityPoolID, IdentityID: merged, MaxResults: 1, NextToken: first.NextToken,
	})
	if err != nil || !usersAre(second, "bob") || second.NextToken != "" {
		t.Fatalf("second page %v, error %v", second, err)
	}
	err = client.UnlinkDeveloperIdentity(t.Context(), tokend.UnlinkRequest{
		IdentityID: merged, DeveloperUserIdentifier: tokend.NewSecret("bob"),
		DeveloperProviderName: tokendtest.DeveloperProviderName, IdentityPoolID: tokendtest.IdentityPoolID,
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.LookupDeveloperIdentity(t.Context(), tokend.LookupRequest{
		IdentityPoolID: tokendtest.IdentityPoolID, DeveloperUserIdentifier: tokend.NewSecret("bob"),
	})
	if !errors.Is(err, tokend.ResourceNotFound) {
		t.Errorf("error %v, want RESOURCE_NOT_FOUND", err)
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

func usersAre(identity tokend.LookupResult, users ...string) bool {
	var got []string
	for _, user := range identity.DeveloperUserIdentifiers {
		got = append(got, user.Reveal())
	}
	return reflect.DeepEqual(got, users)
}

func TestRequestSendsAllFields(t *testing.T) {
	var got []any
	client := newServer(t, tokendtest.WithInterceptor(
		func(_ context.Context, request any, info *grpc.UnaryServerInfo, _ grpc.UnaryHandler) (any, error) {
			got = append(got, request)
			return nil, status.Error(codes.Aborted, info.FullMethod)
		})).Client()
	secret := tokend.NewSecret
	_, _ = client.GetOpenIdTokenForDeveloperIdentity(t.Context(), tokend.TokenRequest{
		IdentityPoolID: "p", IdentityID: "i", Logins: tokend.Logins{"a": secret("b")},
		PrincipalTags: map[string]string{"c": "d"}, TokenDuration: pointer(90 * time.Second),
	})
	_, _ = client.LookupDeveloperIdentity(t.Context(), tokend.LookupRequest{
		IdentityPoolID: "p", IdentityID: "i", DeveloperUserIdentifier: secret("u"), MaxResults: 7, NextToken: "n",
	})
	_, _ = client.MergeDeveloperIdentities(t.Context(), tokend.MergeRequest{
		SourceUserIdentifier: secret("s"), DestinationUserIdentifier: secret("d"), DeveloperProviderName: "n", IdentityPoolID: "p",
	})
	_ = client.UnlinkDeveloperIdentity(t.Context(), tokend.UnlinkRequest{
		IdentityID: "i", IdentityPoolID: "p", DeveloperProviderName: "n", DeveloperUserIdentifier: secret("u"),
	})
	want := []string{
		`{"identity_pool_id":"p","identity_id":"i","logins":{"a":"b"},"principal_tags":{"c":"d"},"token_duration":{"seconds":90}}`,
		`{"identity_pool_id":"p","identity_id":"i","developer_user_identifier":"u","max_results":7,"next_token":"n"}`,
		`{"source_user_identifier":"s","destination_user_identifier":"d","developer_provider_name":"n","identity_pool_id":"p"}`,
		`{"identity_id":"i","identity_pool_id":"p","developer_provider_name":"n","developer_user_identifier":"u"}`,
	}
	if len(got) != len(want) {
		t.Fatalf("%d calls", len(got))
	}
	for i, request := range got {
		if encoded, err := json.Marshal(request); err != nil || string(encoded) != want[i] {
			t.Errorf("sent %s, want %s", encoded, want[i])
		}
	}
}

func TestFailuresOfDrainingServerAreRetried(t *testing.T) {
	for _, code := range []codes.Code{codes.Unavailable, codes.Canceled} {
		server := newServer(t)
		for range 3 {
			server.FailNext(tokendtest.Failure{Code: code})
		}
		issue(t, server.Client(), request("alice"))
		if calls := server.Calls(getToken); calls != 4 {
			t.Errorf("%v: %d attempts, want 4", code, calls)
		}
	}
}

func TestPermanentFailuresAreNotRetried(t *testing.T) {
	server := newServer(t)
	server.FailNext(tokendtest.Failure{Reason: tokend.NotAuthorized})
	_, err := server.Client().GetOpenIdTokenForDeveloperIdentity(t.Context(), request("alice"))
	if !errors.Is(err, tokend.NotAuthorized) || server.Calls(getToken) != 1 {
		t.Errorf("error %v after %d attempts", err, server.Calls(getToken))
	}
}

func TestLargestRequestIsRetried(t *testing.T) {
	attempts := 0
	client := newServer(t, tokendtest.WithInterceptor(
		func(context.Context, any, *grpc.UnaryServerInfo, grpc.UnaryHandler) (any, error) {
			if attempts++; attempts == 1 {
				return nil, status.Error(codes.Unavailable, "draining")
			}
			return &tokendv1.GetOpenIdTokenForDeveloperIdentityResponse{ExpireTime: timestamppb.Now()}, nil
		})).Client()
	large := request(strings.Repeat("é", 50_000))
	for _, provider := range strings.Split("abcdefghi", "") {
		large.Logins[provider] = tokend.NewSecret(strings.Repeat("é", 50_000))
	}
	issue(t, client, large)
	if attempts != 2 {
		t.Errorf("%d attempts, want 2", attempts)
	}
}

func TestDefaultDeadlineIsThreeSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokendtest.NewServer(tokendtest.WithAlgorithm(tokendtest.ES256), tokendtest.WithInterceptor(
			func(ctx context.Context, _ any, _ *grpc.UnaryServerInfo, _ grpc.UnaryHandler) (any, error) {
				<-ctx.Done()
				return nil, status.FromContextError(ctx.Err()).Err()
			}))
		defer server.Close()
		begin := time.Now()
		_, err := server.Client().GetOpenIdTokenForDeveloperIdentity(context.Background(), request("alice"))
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != 3*time.Second {
			t.Errorf("error %v after %v", err, time.Since(begin))
		}
	})
}

func TestServiceConfigMatchesReadme(t *testing.T) {
	_, rest, _ := strings.Cut(read(t, "../README.md"), "```json\n")
	documented, _, _ := strings.Cut(rest, "```")
	if documented != tokend.ServiceConfig {
		t.Errorf("the page has %s", documented)
	}
}

func TestInvalidServiceConfigIsRejected(t *testing.T) {
	if _, err := tokend.New("localhost:1", tokend.WithServiceConfig("{")); err == nil {
		t.Error("it was accepted")
	}
}

func TestPlaintextRequiresOption(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	tokendv1.RegisterDeveloperIdentityServiceServer(server, tokendv1.UnimplementedDeveloperIdentityServiceServer{})
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	client, err := tokend.New(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	_, err = client.GetOpenIdTokenForDeveloperIdentity(t.Context(), request("alice"))
	if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "tls") {
		t.Errorf("error %v, want a failed TLS handshake", err)
	}
}

func TestCallsAreLoggedWithoutSecrets(t *testing.T) {
	var out bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	server := newServer(t)
	client := server.Client(tokend.WithCallLogger(logger))
	token := issue(t, client, request(hidden))
	server.FailNext(tokendtest.Failure{Reason: tokend.NotAuthorized})
	_, _ = client.GetOpenIdTokenForDeveloperIdentity(t.Context(), request(hidden))
	for _, want := range []string{`"code":"OK"`, `"code":"PermissionDenied","reason":"NOT_AUTHORIZED"`, getToken} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %s in %s", want, out.String())
		}
	}
	if leaks(out.String()) || strings.Contains(out.String(), token.Value.Reveal()) {
		t.Errorf("a secret in %s", out.String())
	}
}

func TestFailedRefreshesAreLoggedWithNextAttemptAndWithoutSecrets(t *testing.T) {
	var out bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&out, nil))
	source := tokend.NewTokenSource(&scriptedIssuer{answer: down}, request(hidden), tokend.WithRefreshLogger(logger))
	wantError(t, source, errDown)
	_ = source.Close()
	for _, want := range []string{`"level":"WARN"`, `"next_attempt":"20`, tokendtest.IdentityPoolID, "ENGINE_UNAVAILABLE"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %s in %s", want, out.String())
		}
	}
	if leaks(out.String()) {
		t.Errorf("a secret in %s", out.String())
	}
}
