// Package tokendtest runs a tokend service within the process, for tests of code that uses one.
//
// A [Server] registers or retrieves identities, looks them up, merges and unlinks them as tokend does, and signs real
// tokens with a key of its own. It fails, hangs and waits as a test sets it. A login of a public provider is taken for its
// user, whatever it is: nothing is verified.
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

// The pool that every server has.
const (
	IdentityPoolID        = "local:2f4c9a6e-0b1d-4c7e-9f00-6a1e7a5d3b21"
	DeveloperProviderName = "login.example.internal"
)

const (
	bufferBytes = 1 << 20

	// minPingInterval is tokend's: gRPC's five minutes would end the connections of clients that ping each 30 seconds.
	minPingInterval = 5 * time.Second
)

// Server is a tokend service within the process. It is safe for concurrent use.
type Server struct {
	settings settings
	listener *bufconn.Listener
	server   *grpc.Server

	mu       sync.Mutex
	pools    map[string]*pool
	calls    map[string]int
	called   chan struct{} // closed, and replaced, when a call comes
	paused   chan struct{} // closed when calls may go on; nil while none has to wait
	failing  *Failure
	failNext []Failure
	keys     []signingKey // the last one signs
	issuer   string
	web      *httptest.Server
	clients  []*tokend.Client
}

// Option is a setting of a [Server].
type Option func(*settings)

type settings struct {
	now          func() time.Time
	algorithm    Algorithm
	interceptors []grpc.UnaryServerInterceptor
	pools        map[string]string
}

// WithClock sets what tells the time of tokens, [time.Now] by default.
func WithClock(now func() time.Time) Option {
	return func(s *settings) { s.now = now }
}

// WithPool adds an identity pool.
func WithPool(identityPoolID, developerProviderName string) Option {
	return func(s *settings) { s.pools[identityPoolID] = developerProviderName }
}

// WithInterceptor puts a handler around all calls, which may wait, answer on its own, or look at what is asked and
// answered.
func WithInterceptor(interceptor grpc.UnaryServerInterceptor) Option {
	return func(s *settings) { s.interceptors = append(s.interceptors, interceptor) }
}

// NewServer starts a server. Close it when it is not needed any more.
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
	go func() { _ = s.server.Serve(s.listener) }() // it returns when Close stops it
}

// Client makes a client of the server, which Close closes. It panics when the options are wrong.
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
		_ = client.Close() // it may have been closed by its user
	}
	s.server.Stop()
	if web != nil {
		web.Close()
	}
}
