package tokendverify

import (
	"context"
	"time"

	"tokend.internal/go"
)

// Identity is whom a token names.
type Identity struct {
	// ID is the identity id (sub).
	ID string
	// IdentityPoolID is the pool of the identity: the one of the verifier's audiences that the token is for (aud).
	IdentityPoolID string
	// Issuer is the iss of the token.
	Issuer string
	// AuthenticationMethods are the token's amr: "authenticated", then who vouched for the user, and as whom.
	// They hold login values.
	AuthenticationMethods []tokend.Secret
	// PrincipalTags are the tags that were asked for with the token.
	PrincipalTags map[string]string
	// IssueTime and ExpireTime are the token's iat and exp.
	IssueTime, ExpireTime time.Time
}

type identityKey struct{}

// ContextWithIdentity returns a context with an identity, as interceptors and middleware make it. Tests of handlers may
// use it.
func ContextWithIdentity(ctx context.Context, identity Identity) context.Context {
	return context.WithValue(ctx, identityKey{}, identity)
}

// IdentityFromContext returns the identity of the caller, whose token was verified.
func IdentityFromContext(ctx context.Context) (Identity, bool) {
	identity, ok := ctx.Value(identityKey{}).(Identity)
	return identity, ok
}
