// Package tokend is the client of tokend, a token service. It registers or retrieves the identity of a user whom the
// caller has authenticated, and caches OpenID Connect tokens for that identity.
//
// [New] creates a [Client] with the four operations of the service. [NewTokenSource] caches the token of one user,
// [NewTokenCache] the tokens of many. Both follow the caching policy of all tokend clients: until the server's refresh
// time, callers get the cached token without a lock; after it, they get the same token at once while a refresh runs in
// the background; when the token is about to expire, they wait for the refresh.
//
// [UnaryInterceptor], [StreamInterceptor], [PerRPCCredentials] and [Transport] attach the token to outgoing calls; a
// [SourceFunc] selects the user of each call by its context. [OAuth2TokenSource] adapts a source to
// golang.org/x/oauth2, and module tokendaws exchanges tokens for AWS credentials. Package tokendverify verifies tokens,
// and package tokendtest is a fake of the service for tests.
//
// Login values and tokens are of type [Secret], which prints as a placeholder.
package tokend

//go:generate ./generate.sh
