package tokend

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	_ "google.golang.org/grpc/health" // client-side health checks, which the service config asks for

	"tokend.internal/go/tokendv1"
)

// retryBufferBytes holds every request within the contract's limits: gRPC does not repeat what it has not kept.
const retryBufferBytes = 4 << 20

// Client calls a tokend service. It is safe for concurrent use.
type Client struct {
	connection *grpc.ClientConn
	stub       tokendv1.DeveloperIdentityServiceClient
	shared     *sharedState
}

// New creates a client of the service at target, a gRPC target such as "dns:///tokend.internal:443" or
// "unix:/run/tokend.sock". By default, the client uses TLS and trusts the system's certificate authorities. It connects
// with the first call.
func New(target string, opts ...Option) (*Client, error) {
	settings := newClientSettings(opts)
	connection, err := grpc.NewClient(target, settings.dialOptions()...)
	if err != nil {
		return nil, fmt.Errorf("tokend: %w", err)
	}
	return &Client{connection, tokendv1.NewDeveloperIdentityServiceClient(connection), newSharedState()}, nil
}

// Close closes the connections. Calls in flight fail.
func (c *Client) Close() error { return c.connection.Close() }

// GetOpenIdTokenForDeveloperIdentity registers or retrieves the identity of a user whom the caller has authenticated,
// and returns a new token for it. Each call goes to the service; [CachedTokenSource] and [TokenCache] cache tokens.
//
// It fails with an [*Error].
func (c *Client) GetOpenIdTokenForDeveloperIdentity(ctx context.Context, request TokenRequest) (Token, error) {
	response, err := c.stub.GetOpenIdTokenForDeveloperIdentity(ctx, request.message())
	if err != nil {
		return Token{}, newError(ctx, err)
	}
	return tokenOf(response)
}

// LookupDeveloperIdentity finds the identity id of a developer user, or a page of the developer users of an identity.
//
// It fails with an [*Error].
func (c *Client) LookupDeveloperIdentity(ctx context.Context, request LookupRequest) (LookupResult, error) {
	response, err := c.stub.LookupDeveloperIdentity(ctx, request.message())
	if err != nil {
		return LookupResult{}, newError(ctx, err)
	}
	return lookupResultOf(response), nil
}

// MergeDeveloperIdentities moves all logins of the source user's identity to the destination user's, disables the
// source identity, and returns the id of the identity that both users now share.
//
// It fails with an [*Error].
func (c *Client) MergeDeveloperIdentities(ctx context.Context, request MergeRequest) (string, error) {
	response, err := c.stub.MergeDeveloperIdentities(ctx, request.message())
	if err != nil {
		return "", newError(ctx, err)
	}
	return response.GetIdentityId(), nil
}

// UnlinkDeveloperIdentity unlinks a developer user from an identity. An identity that loses its last login is disabled.
//
// It fails with an [*Error].
func (c *Client) UnlinkDeveloperIdentity(ctx context.Context, request UnlinkRequest) error {
	if _, err := c.stub.UnlinkDeveloperIdentity(ctx, request.message()); err != nil {
		return newError(ctx, err)
	}
	return nil
}
