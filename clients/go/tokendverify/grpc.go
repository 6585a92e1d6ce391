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
// into the context. A call without a valid token fails with UNAUTHENTICATED. If the token cannot be verified because
// the issuer's keys are not available, the call fails with UNAVAILABLE.
//
// The methods in open need no token, such as "/grpc.health.v1.Health/Check". A name that ends with a slash covers all
// methods of a service.
func (v *Verifier) UnaryServerInterceptor(open ...string) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
		verified, err := v.call(ctx, info.FullMethod, open)
		if err != nil {
			return nil, err
		}
		return handle(verified, request)
	}
}

// StreamServerInterceptor is [Verifier.UnaryServerInterceptor] for streams. The token is verified when a stream begins;
// the stream may outlive the token.
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

// call verifies the token of a call and returns the call's context with the identity.
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
		v.settings.logger.InfoContext(ctx, "token rejected", "called", called, "error", err)
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

// publicMessage returns the message for the caller. It names neither the failed check nor the issuer's address.
func publicMessage(err error) string {
	for _, known := range []error{errNoToken, ErrExpired, ErrRejected} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return ErrUnavailable.Error()
}
