package tokend

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"google.golang.org/grpc"
	grpcbackoff "google.golang.org/grpc/backoff"
	"google.golang.org/grpc/balancer/roundrobin"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
)

const (
	// With gRPC's jitter of 20 %, at most a second.
	firstReconnectDelay = 100 * time.Millisecond
	maxReconnectDelay   = 800 * time.Millisecond
	minConnectTimeout   = 3 * time.Second

	keepaliveInterval = 30 * time.Second
	keepaliveTimeout  = 3 * time.Second
)

// Option configures a [Client].
type Option func(*clientSettings)

type clientSettings struct {
	transport     credentials.TransportCredentials
	serviceConfig string
	logger        *slog.Logger
	proxies       bool
	dial          []grpc.DialOption
}

// WithTransportCredentials sets how the connection is secured, for example mutual TLS with [ClientCertificate].
func WithTransportCredentials(transport credentials.TransportCredentials) Option {
	return func(s *clientSettings) { s.transport = transport }
}

// WithPlaintext disables TLS: logins and tokens are sent unencrypted. Use it only for the loopback or for a sidecar
// that secures the connection.
func WithPlaintext() Option { return WithTransportCredentials(insecure.NewCredentials()) }

// WithBearerTokenFile authenticates calls with the bearer token in a file, such as a Kubernetes service account token.
// Each call reads the file again. The token is not sent in plaintext: with [WithPlaintext], [New] fails.
func WithBearerTokenFile(path string) Option {
	return WithDialOptions(grpc.WithPerRPCCredentials(bearerFile(path)))
}

// WithServiceConfig replaces [ServiceConfig].
func WithServiceConfig(config string) Option {
	return func(s *clientSettings) { s.serviceConfig = config }
}

// WithEnvironmentProxy connects through the proxy that HTTPS_PROXY and NO_PROXY configure. Without it, no proxy is
// used.
func WithEnvironmentProxy() Option {
	return func(s *clientSettings) { s.proxies = true }
}

// WithCallLogger logs each call at debug level: method, code, reason and duration.
func WithCallLogger(logger *slog.Logger) Option {
	return func(s *clientSettings) { s.logger = logger }
}

// WithDialOptions passes options to gRPC, after those of this package: interceptors, stats handlers such as
// OpenTelemetry's, dialers.
func WithDialOptions(opts ...grpc.DialOption) Option {
	return func(s *clientSettings) { s.dial = append(s.dial, opts...) }
}

func newClientSettings(opts []Option) clientSettings {
	settings := clientSettings{
		transport:     credentials.NewTLS(nil),
		serviceConfig: ServiceConfig,
		logger:        slog.New(slog.DiscardHandler),
	}
	for _, opt := range opts {
		opt(&settings)
	}
	return settings
}

func (s clientSettings) dialOptions() []grpc.DialOption {
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(s.transport),
		grpc.WithDefaultServiceConfig(s.effectiveServiceConfig()),
		grpc.WithDefaultCallOptions(grpc.MaxRetryRPCBufferSize(retryBufferBytes)),
		grpc.WithConnectParams(connectParams()),
		grpc.WithKeepaliveParams(keepaliveParameters()),
		grpc.WithUserAgent("tokend-go/" + version),
		grpc.WithChainUnaryInterceptor(callLoggingInterceptor(s.logger)),
	}
	if !s.proxies {
		opts = append(opts, grpc.WithNoProxy())
	}
	opts = append(opts, s.dial...)
	// The last interceptor is the innermost: the user's interceptors see one call, regardless of its attempts.
	return append(opts, grpc.WithChainUnaryInterceptor(secondAttemptInterceptor(s.callTimeout())))
}

// effectiveServiceConfig returns [ServiceConfig] with this package's own policy, or the user's config unchanged.
func (s clientSettings) effectiveServiceConfig() string {
	if s.serviceConfig == ServiceConfig {
		return strings.Replace(ServiceConfig, roundrobin.Name, spreadingName, 1)
	}
	return s.serviceConfig
}

// callTimeout returns the timeout of a call whose context has no deadline; zero if it is not known.
func (s clientSettings) callTimeout() time.Duration {
	if s.serviceConfig == ServiceConfig {
		return callTimeout
	}
	return 0
}

// keepaliveParameters detect a server that hangs or has disappeared, even while no call is in flight.
func keepaliveParameters() keepalive.ClientParameters {
	return keepalive.ClientParameters{Time: keepaliveInterval, Timeout: keepaliveTimeout, PermitWithoutStream: true}
}

// connectParams are gRPC's own connection back-off with a lower maximum: the default of two minutes would prolong an
// outage.
func connectParams() grpc.ConnectParams {
	backoff := grpcbackoff.DefaultConfig
	backoff.BaseDelay, backoff.MaxDelay = firstReconnectDelay, maxReconnectDelay
	return grpc.ConnectParams{Backoff: backoff, MinConnectTimeout: minConnectTimeout}
}

func callLoggingInterceptor(logger *slog.Logger) grpc.UnaryClientInterceptor {
	return func(
		ctx context.Context, method string, request, reply any, connection *grpc.ClientConn, invoke grpc.UnaryInvoker,
		opts ...grpc.CallOption,
	) error {
		if !logger.Enabled(ctx, slog.LevelDebug) {
			return invoke(ctx, method, request, reply, connection, opts...)
		}
		begin := time.Now()
		err := invoke(ctx, method, request, reply, connection, opts...)
		logger.DebugContext(ctx, "tokend call", "method", method, "code", status.Code(err).String(),
			"reason", string(newError(ctx, err).Reason), "duration", time.Since(begin))
		return err
	}
}
