package tokend

import (
	"context"

	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
)

// AwaitReady connects if there is no connection, and waits until one has a healthy server. It returns false if ctx is
// done first.
func AwaitReady(ctx context.Context, client *Client) bool {
	client.connection.Connect()
	for state := client.connection.GetState(); state != connectivity.Ready; state = client.connection.GetState() {
		if !client.connection.WaitForStateChange(ctx, state) {
			return false
		}
	}
	return true
}

// AwaitRefresh waits until a source's running refresh has ended. It returns at once if there is none.
func AwaitRefresh(source TokenSource) {
	inner := cachedSource(source)
	inner.mu.Lock()
	flight := inner.flight
	inner.mu.Unlock()
	if flight != nil {
		<-flight.done
	}
}

// HeldToken returns the token of a source's snapshot; the zero token if there is none.
func HeldToken(source TokenSource) Token {
	if held := cachedSource(source).held.Load(); held != nil {
		return held.token
	}
	return Token{}
}

// Reject drops a rejected token of a cache's source, even if the user was evicted.
func Reject(source TokenSource, token string) {
	cachedSource(source).Invalidate(Token{Value: NewSecret(token)})
}

func cachedSource(source TokenSource) *CachedTokenSource {
	return source.(*userSource).entry.Load().source
}

// BearerFile returns the credentials of [WithBearerTokenFile].
func BearerFile(path string) credentials.PerRPCCredentials { return bearerFile(path) }

// Version is the version of the module.
const Version = version
