package tokend

import (
	"context"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
)

// PerRPCCredentials attaches the source's token to outgoing calls, as "authorization: Bearer ...". gRPC refuses to send
// it over a connection that is not private.
//
// A call for which there is no token fails with UNAVAILABLE, DEADLINE_EXCEEDED or CANCELED where that is why, and else
// with UNAUTHENTICATED.
func PerRPCCredentials(source TokenSource) credentials.PerRPCCredentials {
	return bearer{source: source, secure: true}
}

// InsecurePerRPCCredentials is [PerRPCCredentials] that send the token over plaintext, too: whoever sees the traffic
// has the token. It is for the loopback and for a sidecar that secures the connection.
func InsecurePerRPCCredentials(source TokenSource) credentials.PerRPCCredentials {
	return bearer{source: source}
}

type bearer struct {
	source TokenSource
	secure bool
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
	return authorization(token.Value), nil
}

// RequireTransportSecurity implements [credentials.PerRPCCredentials].
func (b bearer) RequireTransportSecurity() bool { return b.secure }

// requirePrivacy refuses connections that others can read, whatever gRPC itself makes of them.
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

// callError is what a call fails with that has no token: codes that speak of tokend's own request would mislead.
func callError(err error) error {
	code := codes.Unauthenticated
	switch failed := status.Code(err); failed {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		code = failed
	default:
	}
	return status.Error(code, fmt.Sprintf("no token for this call: %v", err))
}
