// Package tokendtest is a fake tokend service that runs in the process of a test.
//
// A [Server] registers, retrieves, looks up, merges and unlinks identities as tokend does, and signs real tokens. Tests
// can make calls fail, hang or wait. Every provider but the developer provider is a public one of the pool. Its logins
// are not verified: any value identifies a user.
package tokendtest

import (
	"context"
	"net"
	"net/http/httptest"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/test/bufconn"

	"tokend.internal/go"
	"tokend.internal/go/tokendv1"
)

// The identity pool of every server.
const (
	IdentityPoolID        = "local:2f4c9a6e-0b1d-4c7e-9f00-6a1e7a5d3b21"
	DeveloperProviderName = "login.example.internal"
)

const (
	bufferBytes = 1 << 20

	// minPingInterval is the same as tokend's: with gRPC's default of five minutes, the server would close the
	// connections of clients, which ping every 30 seconds.
	minPingInterval = 5 * time.Second
)

// Server is a fake tokend service. It is safe for concurrent use.
type Server struct {
	settings settings
	listener *bufconn.Listener
	server   *grpc.Server

	rotating sync.Mutex // held by RotateKey; taken before mu

	mu       sync.Mutex
	pools    map[string]*pool
	calls    map[string]int
	called   chan struct{} // closed, and replaced, when a call comes
	paused   chan struct{} // closed by Resume; nil unless paused
	failing  *Failure
	failNext []Failure
	keys     []signingKey // the last one signs
	issuer   string
	web      *httptest.Server
	clients  []*tokend.Client
}

// Option configures a [Server].
type Option func(*settings)

type settings struct {
	now          func() time.Time
	algorithm    Algorithm
	interceptors []grpc.UnaryServerInterceptor
	pools        map[string]string
}

// WithClock sets the function that returns the current time for tokens, [time.Now] by default.
func WithClock(now func() time.Time) Option {
	return func(s *settings) { s.now = now }
}

// WithPool adds an identity pool.
func WithPool(identityPoolID, developerProviderName string) Option {
	return func(s *settings) { s.pools[identityPoolID] = developerProviderName }
}

// WithInterceptor adds an interceptor to all calls, for example to delay them, to return its own response, or to
// inspect requests and responses.
func WithInterceptor(interceptor grpc.UnaryServerInterceptor) Option {
	return func(s *settings) { s.interceptors = append(s.interceptors, interceptor) }
}

// NewServer starts a server. Close it when it is no longer needed.
func NewServer(opts ...Option) *Server {
	s := &Server{
		settings: settings{
			now: time.Now, algorithm: RS512, pools: map[string]string{IdentityPoolID: DeveloperProviderName},
		},
		listener: bufconn.Listen(bufferBytes),
		pools:    map[string]*pool{},
		calls:    map[string]int{},
		called:   make(chan struct{}),
		issuer:   "https://tokend.example.internal",
	}
	for _, opt := range opts {
		opt(&s.settings)
	}
	for id, provider := range s.settings.pools {
		s.pools[id] = newPool(id, provider)
	}
	s.RotateKey()
	s.serve()
	return s
}

func (s *Server) serve() {
	interceptors := append([]grpc.UnaryServerInterceptor{s.intercept}, s.settings.interceptors...)
	s.server = grpc.NewServer(
		grpc.ChainUnaryInterceptor(interceptors...),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minPingInterval, PermitWithoutStream: true}),
	)
	tokendv1.RegisterDeveloperIdentityServiceServer(s.server, service{server: s})
	serving := health.NewServer()
	serving.SetServingStatus(tokendv1.DeveloperIdentityService_ServiceDesc.ServiceName, healthv1.HealthCheckResponse_SERVING)
	healthv1.RegisterHealthServer(s.server, serving)
	go func() { _ = s.server.Serve(s.listener) }() // returns after Close
}

// Client creates a client of the server. [Server.Close] closes it. It panics if the options are invalid.
func (s *Server) Client(opts ...tokend.Option) *tokend.Client {
	dial := grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
		return s.listener.DialContext(ctx)
	})
	opts = append([]tokend.Option{tokend.WithPlaintext(), tokend.WithDialOptions(dial)}, opts...)
	client, err := tokend.New("passthrough:///tokendtest", opts...)
	if err != nil {
		panic(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients = append(s.clients, client)
	return client
}

// Close stops the server and closes its clients.
func (s *Server) Close() {
	s.mu.Lock()
	clients, web := s.clients, s.web
	s.clients, s.web = nil, nil
	s.mu.Unlock()
	for _, client := range clients {
		_ = client.Close() // the test may have closed it
	}
	s.server.Stop()
	if web != nil {
		web.Close()
	}
}
