package tokend

import (
	"context"
	"fmt"
	"sync/atomic"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
)

// PerRPCCredentials returns credentials that attach the source's token to outgoing calls, as "authorization: Bearer
// ...". The token is not sent over a connection without privacy and integrity.
//
// A call for which there is no token fails with the code that [DownstreamCode] returns. [UnaryInterceptor] and
// [StreamInterceptor] also attach the token, and drop it when the called service rejects it.
func PerRPCCredentials(source TokenSource) credentials.PerRPCCredentials {
	return bearer{source: source, secure: true}
}

// PlaintextPerRPCCredentials returns [PerRPCCredentials] that also send the token over plaintext, where anyone who can
// read the traffic gets the token. Use it only for the loopback or for a sidecar that secures the connection.
func PlaintextPerRPCCredentials(source TokenSource) credentials.PerRPCCredentials {
	return bearer{source: source}
}

type bearer struct {
	source TokenSource
	secure bool
	used   *atomic.Pointer[Token] // receives the attached token; may be nil
}

// GetRequestMetadata implements [credentials.PerRPCCredentials].
func (b bearer) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	if b.secure {
		if err := requirePrivacy(ctx); err != nil {
			return nil, err
		}
	}
	token, err := b.source.Token(ctx)
	if err != nil {
		return nil, callError(err)
	}
	if b.used != nil {
		b.used.Store(&token)
	}
	return authorization(token.Value), nil
}

// RequireTransportSecurity implements [credentials.PerRPCCredentials].
func (b bearer) RequireTransportSecurity() bool { return b.secure }

// requirePrivacy rejects connections without privacy and integrity, also where gRPC itself would accept them.
func requirePrivacy(ctx context.Context) error {
	info, _ := credentials.RequestInfoFromContext(ctx)
	if err := credentials.CheckSecurityLevel(info.AuthInfo, credentials.PrivacyAndIntegrity); err != nil {
		return status.Errorf(codes.Unauthenticated, "tokend: the token is not sent: %v", err)
	}
	return nil
}

func authorization(token Secret) map[string]string {
	return map[string]string{"authorization": "Bearer " + token.Reveal()}
}

// callError returns the error of a call for which there is no token. gRPC reads its status; [errors.As] finds the
// cause.
func callError(err error) error {
	return &noTokenError{status.New(DownstreamCode(err), fmt.Sprintf("no token for this call: %v", err)), err}
}

type noTokenError struct {
	status *status.Status
	cause  error
}

// Error implements error.
func (e *noTokenError) Error() string { return e.status.Err().Error() }

// GRPCStatus returns the status, for [status.FromError].
func (e *noTokenError) GRPCStatus() *status.Status { return e.status }

// Unwrap returns why there is no token.
func (e *noTokenError) Unwrap() error { return e.cause }
