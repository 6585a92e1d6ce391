package tokendverify

import (
	"context"
	"time"

	"tokend.internal/go"
)

// Identity is the verified identity of a token.
type Identity struct {
	// ID is the identity id (sub).
	ID string
	// IdentityPoolID is the pool of the identity (aud), one of the verifier's audiences.
	IdentityPoolID string
	// Issuer is the issuer of the token (iss).
	Issuer string
	// AuthenticationMethods are the token's amr: "authenticated", the provider that vouched for the user, and the
	// user's login there. They contain login values.
	AuthenticationMethods []tokend.Secret
	// PrincipalTags are the tags that were requested with the token.
	PrincipalTags map[string]string
	// IssueTime and ExpireTime are the token's iat and exp.
	IssueTime, ExpireTime time.Time
}

type identityKey struct{}

// ContextWithIdentity returns a context with an identity, like the interceptors and the middleware. Use it in tests of
// handlers.
func ContextWithIdentity(ctx context.Context, identity Identity) context.Context {
	return context.WithValue(ctx, identityKey{}, identity)
}

// IdentityFromContext returns the verified identity of the caller, if the context has one.
func IdentityFromContext(ctx context.Context) (Identity, bool) {
	identity, ok := ctx.Value(identityKey{}).(Identity)
	return identity, ok
}
