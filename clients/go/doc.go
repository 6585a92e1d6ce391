// Package tokend is the client of tokend, the token service: it registers or retrieves the identity of a user whom the
// caller has authenticated, and keeps a fresh OpenID Connect token for it at hand.
//
// [New] makes a [Client] with the four operations of the service. [NewTokenSource] keeps the token of one user fresh,
// [NewTokenCache] those of many. Both follow the caching policy that all clients of tokend share: a token is handed out
// without a lock until the server's refresh time, while a refresh runs in the background until it is about to expire,
// and only then does anybody wait. [UnaryInterceptor], [StreamInterceptor], [PerRPCCredentials] and [Transport] attach the
// token to outgoing calls; a [SourceFunc] finds the user of each in its context. [OAuth2TokenSource]
// feeds it to golang.org/x/oauth2, and the module tokendaws exchanges it for AWS credentials. Package tokendverify verifies
// tokens, and package tokendtest stands for the service in tests.
//
// Login values and tokens are of the type [Secret], which does not print.
package tokend

//go:generate ./generate.sh
