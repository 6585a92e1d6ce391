package tokendverify

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// UnaryServerInterceptor verifies the token of each call ("authorization: Bearer ...") and puts the caller's [Identity]
// into the context. A call without a good token ends with UNAUTHENTICATED; one of whose token it cannot be told, since the
// issuer's keys cannot be had, with UNAVAILABLE.
//
// Open are the methods that need no token, such as "/grpc.health.v1.Health/Check"; those that end with a slash are whole
// services.
func (v *Verifier) UnaryServerInterceptor(open ...string) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
		verified, err := v.call(ctx, info.FullMethod, open)
		if err != nil {
			return nil, err
		}
		return handle(verified, request)
	}
}

// StreamServerInterceptor is [Verifier.UnaryServerInterceptor] for streams. The token is verified when a stream begins: one
// may outlive it.
func (v *Verifier) StreamServerInterceptor(open ...string) grpc.StreamServerInterceptor {
	return func(service any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
		verified, err := v.call(stream.Context(), info.FullMethod, open)
		if err != nil {
			return err
		}
		return handle(service, verifiedStream{stream, verified})
	}
}

type verifiedStream struct {
	grpc.ServerStream

	ctx context.Context
}

// Context implements [grpc.ServerStream].
func (s verifiedStream) Context() context.Context { return s.ctx }

// call is the context of a call whose token is verified.
func (v *Verifier) call(ctx context.Context, method string, open []string) (context.Context, error) {
	for _, name := range open {
		if name == method || strings.HasSuffix(name, "/") && strings.HasPrefix(method, name) {
			return ctx, nil
		}
	}
	identity, err := v.authorize(ctx, metadata.ValueFromIncomingContext(ctx, "authorization"), method)
	if err != nil {
		return nil, callError(err)
	}
	return ContextWithIdentity(ctx, identity), nil
}

func callError(err error) error {
	switch {
	case errors.Is(err, ErrRejected):
		return status.Error(codes.Unauthenticated, publicMessage(err))
	case errors.Is(err, ErrUnavailable):
		return status.Error(codes.Unavailable, publicMessage(err))
	default:
		return status.FromContextError(err).Err()
	}
}

var errNoToken = fmt.Errorf("%w: there is no bearer token", ErrRejected)

// authorize verifies the token in the values of the header "authorization".
func (v *Verifier) authorize(ctx context.Context, values []string, called string) (Identity, error) {
	token, err := bearerOf(values)
	var identity Identity
	if err == nil {
		identity, err = v.Verify(ctx, token)
	}
	if errors.Is(err, ErrRejected) {
		v.settings.logger.InfoContext(ctx, "a token is rejected", "called", called, "error", err)
	}
	return identity, err
}

func bearerOf(values []string) (string, error) {
	if len(values) != 1 {
		return "", errNoToken
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if token = strings.TrimSpace(token); !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", errNoToken
	}
	return token, nil
}

// publicMessage is what a caller gets: not which check the token has failed, nor where the issuer is.
func publicMessage(err error) string {
	for _, known := range []error{errNoToken, ErrExpired, ErrRejected} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return ErrUnavailable.Error()
}
