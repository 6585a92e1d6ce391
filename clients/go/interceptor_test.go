package tokend_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"tokend.internal/go"
)

// rejecting is a service that rejects tokens, and records the received ones.
type rejecting struct {
	tokens map[string]bool
	seen   []string
}

func (r *rejecting) intercept(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	token := md.Get("authorization")[0]
	r.seen = append(r.seen, token)
	if r.tokens[token] {
		return nil, status.Error(codes.Unauthenticated, "the token is rejected")
	}
	return handle(ctx, request)
}

func TestCallWithRejectedTokenIsRetriedOnceWithNewToken(t *testing.T) {
	for name, c := range map[string]struct {
		rejects []string
		want    codes.Code
		seen    int
	}{
		"not rejected":   {nil, codes.Aborted, 1}, // the backend's response
		"rejected":       {[]string{"Bearer 1"}, codes.Aborted, 2},
		"rejected twice": {[]string{"Bearer 1", "Bearer 2"}, codes.Unauthenticated, 2},
	} {
		t.Run(name, func(t *testing.T) {
			service := &rejecting{tokens: map[string]bool{}}
			for _, token := range c.rejects {
				service.tokens[token] = true
			}
			certificate, trusted := selfSigned(t)
			address := startBackend(t, grpc.UnaryInterceptor(service.intercept),
				grpc.Creds(credentials.NewServerTLSFromCert(&certificate)))
			err := callBackend(t, address,
				grpc.WithTransportCredentials(credentials.NewClientTLSFromCert(trusted, "")),
				grpc.WithChainUnaryInterceptor(tokend.UnaryInterceptor(newSource(t, &scriptedIssuer{}))))
			if status.Code(err) != c.want || len(service.seen) != c.seen {
				t.Errorf("error %v after %q", err, service.seen)
			}
		})
	}
}

func TestInterceptorSendsTokenInPlaintextOnlyWithOption(t *testing.T) {
	source := newSource(t, &scriptedIssuer{})
	plaintext := grpc.WithTransportCredentials(insecure.NewCredentials())
	service := &rejecting{}
	address := startBackend(t, grpc.UnaryInterceptor(service.intercept))
	err := callBackend(t, address, plaintext, grpc.WithChainUnaryInterceptor(tokend.UnaryInterceptor(source)))
	if err == nil || len(service.seen) != 0 {
		t.Errorf("error %v, sent %q", err, service.seen)
	}
	err = callBackend(t, address, plaintext, grpc.WithChainUnaryInterceptor(tokend.PlaintextUnaryInterceptor(source)))
	if status.Code(err) != codes.Aborted || len(service.seen) != 1 || service.seen[0] != "Bearer 1" {
		t.Errorf("error %v, sent %q", err, service.seen)
	}
}

func TestCallWithoutTokenIsAttemptedOnce(t *testing.T) {
	issuer := &scriptedIssuer{answer: func(context.Context) error {
		return &tokend.Error{Code: codes.Unauthenticated, Reason: tokend.CallerUnauthenticated}
	}}
	service := &rejecting{}
	err := callBackend(t, startBackend(t, grpc.UnaryInterceptor(service.intercept)),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithChainUnaryInterceptor(tokend.PlaintextUnaryInterceptor(newSource(t, issuer))))
	if status.Code(err) != codes.Unauthenticated || issuer.calls() != 1 || len(service.seen) != 0 {
		t.Errorf("error %v, %d refreshes, sent %q", err, issuer.calls(), service.seen)
	}
}

func TestOnlyCachedTokenIsInvalidated(t *testing.T) {
	issuer := &scriptedIssuer{}
	source := newSource(t, issuer)
	cache := newCache(t, &scriptedIssuer{})
	ofCache := cache.Source(request("alice"))
	for name, c := range map[string]struct {
		source     tokend.TokenSource
		invalidate func(tokend.Token)
	}{
		"source":            {source, source.Invalidate},
		"source of a cache": {ofCache, ofCache.(tokend.Invalidator).Invalidate},
		"cache": {cache.Source(request("bob")), func(token tokend.Token) {
			cache.Invalidate(request("bob"), token)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			first, _ := c.source.Token(t.Context())
			c.invalidate(first)
			second, _ := c.source.Token(t.Context())
			if second.Value.Reveal() == first.Value.Reveal() {
				t.Fatal("it was not dropped")
			}
			c.invalidate(first)
			if third, _ := c.source.Token(t.Context()); third.Value.Reveal() != second.Value.Reveal() {
				t.Error("another one was dropped")
			}
		})
	}
	cache.Invalidate(request("carol"), tokend.Token{}) // not in the cache
}

func TestCallsOfManyUsersThroughOneInterceptorHaveOwnTokens(t *testing.T) {
	cache := newCache(t, &scriptedIssuer{})
	source := tokend.SourceFunc(func(ctx context.Context) (tokend.TokenSource, error) {
		return cache.Source(request(ctx.Value(userKey{}).(string))), nil
	})
	connection := connect(t, startBackend(t), grpc.WithChainUnaryInterceptor(tokend.PlaintextUnaryInterceptor(source)))
	var calling sync.WaitGroup
	for i := range 20 {
		user := fmt.Sprint("user", i)
		calling.Go(func() {
			for range 5 {
				_, err := healthv1.NewHealthClient(connection).Check(
					context.WithValue(t.Context(), userKey{}, user), &healthv1.HealthCheckRequest{})
				token, _ := cache.Token(t.Context(), request(user))
				if got := status.Convert(err).Message(); got != "Bearer "+token.Value.Reveal() {
					t.Errorf("%s sent %q, want %q", user, got, token.Value.Reveal())
				}
			}
		})
	}
	calling.Wait()
}

func TestCallWithoutSourceFailsWithCause(t *testing.T) {
	missing := errors.New("no user")
	source := tokend.SourceFunc(func(context.Context) (tokend.TokenSource, error) { return nil, missing })
	connection := connect(t, startBackend(t), grpc.WithChainUnaryInterceptor(tokend.PlaintextUnaryInterceptor(source)),
		grpc.WithChainStreamInterceptor(tokend.PlaintextStreamInterceptor(source)))
	client := healthv1.NewHealthClient(connection)
	if _, err := client.Check(t.Context(), &healthv1.HealthCheckRequest{}); !errors.Is(err, missing) ||
		status.Code(err) != codes.Unavailable {
		t.Errorf("error %v", err)
	}
	if _, err := client.Watch(t.Context(), &healthv1.HealthCheckRequest{}); !errors.Is(err, missing) {
		t.Errorf("error %v", err)
	}
}

func TestStreamWithRejectedTokenIsNotRetriedAndNextHasNewToken(t *testing.T) {
	var seen []string
	rejectTheFirst := func(_ any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, _ grpc.StreamHandler) error {
		md, _ := metadata.FromIncomingContext(stream.Context())
		seen = append(seen, md.Get("authorization")...)
		if seen[len(seen)-1] == "Bearer 1" {
			return status.Error(codes.Unauthenticated, "the token is rejected")
		}
		return status.Error(codes.Aborted, "enough")
	}
	source := newSource(t, &scriptedIssuer{})
	connection := connect(t, startBackend(t, grpc.StreamInterceptor(rejectTheFirst)),
		grpc.WithChainStreamInterceptor(tokend.PlaintextStreamInterceptor(source)))
	for i, want := range []codes.Code{codes.Unauthenticated, codes.Aborted, codes.Aborted} {
		stream, err := healthv1.NewHealthClient(connection).Watch(t.Context(), &healthv1.HealthCheckRequest{})
		if err == nil {
			_, err = stream.Recv()
		}
		if status.Code(err) != want || len(seen) != i+1 {
			t.Errorf("error %v after %q, want %v", err, seen, want)
		}
	}
	if seen[1] != "Bearer 2" || seen[2] != "Bearer 2" {
		t.Errorf("seen %q", seen)
	}
}

func TestStreamsSendTokenInPlaintextOnlyWithOption(t *testing.T) {
	var seen int
	count := func(any, grpc.ServerStream, *grpc.StreamServerInfo, grpc.StreamHandler) error { seen++; return nil }
	connection := connect(t, startBackend(t, grpc.StreamInterceptor(count)),
		grpc.WithChainStreamInterceptor(tokend.StreamInterceptor(newSource(t, &scriptedIssuer{}))))
	stream, err := healthv1.NewHealthClient(connection).Watch(t.Context(), &healthv1.HealthCheckRequest{})
	if err == nil {
		_, err = stream.Recv()
	}
	if err == nil || seen != 0 {
		t.Errorf("error %v, %d streams", err, seen)
	}
}

func connect(t *testing.T, address string, opts ...grpc.DialOption) *grpc.ClientConn {
	opts = append([]grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}, opts...)
	connection, err := grpc.NewClient(address, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	return connection
}
