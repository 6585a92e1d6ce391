package tokend

import (
	"context"

	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
)

// AwaitReady connects where there is no connection, and waits until one has a healthy server; false once ctx is done.
func AwaitReady(ctx context.Context, client *Client) bool {
	client.connection.Connect()
	for state := client.connection.GetState(); state != connectivity.Ready; state = client.connection.GetState() {
		if !client.connection.WaitForStateChange(ctx, state) {
			return false
		}
	}
	return true
}

// AwaitRefresh waits until the refresh of a source that runs has ended; at once if none does.
func AwaitRefresh(source TokenSource) {
	inner := behind(source)
	inner.mu.Lock()
	flight := inner.flight
	inner.mu.Unlock()
	if flight != nil {
		<-flight.done
	}
}

// HeldToken is the token of a source's snapshot; the zero token where there is none.
func HeldToken(source TokenSource) Token {
	if held := behind(source).held.Load(); held != nil {
		return held.token
	}
	return Token{}
}

// Reject tells a source of a cache that its token was rejected, wherever the user is by now.
func Reject(source TokenSource, token string) {
	behind(source).Invalidate(Token{Value: NewSecret(token)})
}

func behind(source TokenSource) *CachedTokenSource {
	return source.(*userSource).entry.Load().source
}

// BearerFile are the credentials of [WithBearerTokenFile].
func BearerFile(path string) credentials.PerRPCCredentials { return bearerFile(path) }

// Version is the module's.
const Version = version
