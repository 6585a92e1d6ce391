// Package snippets contains the code of the client's README.
package snippets

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	tokend "tokend.internal/go"
	"tokend.internal/go/tokendaws"
	"tokend.internal/go/tokendverify"
)

const pool = "local:2f4c9a6e-0b1d-4c7e-9f00-6a1e7a5d3b21"

func byCertificate(roots *x509.CertPool) (*tokend.Client, error) {
	return tokend.New("dns:///tokend.example.internal:443",
		tokend.WithTransportCredentials(credentials.NewTLS(&tls.Config{
			RootCAs:              roots,
			GetClientCertificate: tokend.ClientCertificate("/run/spiffe/svid.pem", "/run/spiffe/svid_key.pem"),
		})))
}

func byToken() (*tokend.Client, error) {
	return tokend.New("dns:///tokend.example.internal:443",
		tokend.WithBearerTokenFile("/var/run/secrets/tokend/token"))
}

func oneUser(ctx context.Context, client *tokend.Client) (tokend.Token, error) {
	duration := 15 * time.Minute
	source := tokend.NewTokenSource(client, tokend.TokenRequest{
		IdentityPoolID: pool,
		Logins:         tokend.Logins{"login.example.internal": tokend.NewSecret("billing-service")},
		TokenDuration:  &duration,
	})
	defer source.Close()

	return source.Token(ctx) // as often as you like
}

func manyUsers(ctx context.Context, client *tokend.Client, user string) (tokend.Token, error) {
	cache := tokend.NewTokenCache(client, tokend.WithMaxUsers(50_000))
	defer cache.Close()

	return cache.Token(ctx, tokend.TokenRequest{
		IdentityPoolID: pool,
		Logins:         tokend.Logins{"login.example.internal": tokend.NewSecret(user)},
	})
}

func attach(source tokend.TokenSource) (*grpc.ClientConn, error) {
	return grpc.NewClient("dns:///billing.example.internal:443",
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{})),
		grpc.WithChainUnaryInterceptor(tokend.UnaryInterceptor(source)),
		grpc.WithChainStreamInterceptor(tokend.StreamInterceptor(source)))
}

func overHTTP(source tokend.TokenSource) *http.Client {
	return &http.Client{Transport: &tokend.Transport{Source: source}}
}

type userKey struct{}

func userOf(ctx context.Context) (string, bool) {
	user, ok := ctx.Value(userKey{}).(string)
	return user, ok
}

func perUser(cache *tokend.TokenCache) tokend.TokenSource {
	byUser := tokend.SourceFunc(func(ctx context.Context) (tokend.TokenSource, error) {
		user, ok := userOf(ctx) // as your own authentication has put it there
		if !ok {
			return nil, status.Error(codes.Unauthenticated, "the call has no user")
		}
		return cache.Source(tokend.TokenRequest{
			IdentityPoolID: pool,
			Logins:         tokend.Logins{"login.example.internal": tokend.NewSecret(user)},
		}), nil
	})
	return byUser
}

func verifying() (*grpc.Server, error) {
	verifier, err := tokendverify.New("https://tokend.example.internal", []string{pool})
	if err != nil {
		return nil, err
	}
	return grpc.NewServer(
		grpc.ChainUnaryInterceptor(verifier.UnaryServerInterceptor("/grpc.health.v1.Health/")),
		grpc.ChainStreamInterceptor(verifier.StreamServerInterceptor("/grpc.health.v1.Health/"))), nil
}

func greeting(verifier *tokendverify.Verifier) http.Handler {
	return verifier.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		identity, _ := tokendverify.IdentityFromContext(r.Context())
		_, _ = fmt.Fprintln(w, "hello", identity.ID, identity.PrincipalTags["department"])
	}))
}

func exchange(source tokend.TokenSource, client *sts.Client) aws.CredentialsProvider {
	return aws.NewCredentialsCache(tokendaws.NewWebIdentityProvider(client, source,
		"arn:aws:iam::123456789012:role/billing", "billing-service"))
}

func decide(err error) {
	if errors.Is(err, tokend.DeveloperUserAlreadyRegistered) {
		log.Print("the user has another identity")
	}
	var failed *tokend.Error
	if errors.As(err, &failed) {
		log.Print(failed.Code, failed.Reason, failed.RetryDelay, failed.AWSErrorCode, failed.AWSRequestID, failed.Violations)
	}
}

func observed() (*tokend.Client, error) {
	return tokend.New("dns:///tokend.example.internal:443",
		tokend.WithCallLogger(slog.Default()),
		tokend.WithDialOptions(grpc.WithStatsHandler(otelgrpc.NewClientHandler())))
}
