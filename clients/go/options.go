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
	// With gRPC's jitter of a fifth, at most a second.
	firstReconnectDelay = 100 * time.Millisecond
	maxReconnectDelay   = 800 * time.Millisecond
	minConnectTimeout   = 3 * time.Second

	keepaliveInterval = 30 * time.Second
	keepaliveTimeout  = 3 * time.Second
)

// Option is a setting of a [Client].
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

// WithPlaintext speaks plaintext: logins and tokens cross the wire unprotected. It is for the loopback and for a sidecar
// that secures the connection.
func WithPlaintext() Option { return WithTransportCredentials(insecure.NewCredentials()) }

// WithBearerTokenFile tells the service who calls by the bearer token in a file, such as a Kubernetes service account's.
// Each call reads the file again. The token is not sent in plaintext: with [WithPlaintext], [New] fails.
func WithBearerTokenFile(path string) Option {
	return WithDialOptions(grpc.WithPerRPCCredentials(bearerFile(path)))
}

// WithServiceConfig replaces [ServiceConfig].
func WithServiceConfig(config string) Option {
	return func(s *clientSettings) { s.serviceConfig = config }
}

// WithEnvironmentProxy has connections go through the proxy that HTTPS_PROXY and NO_PROXY name; otherwise they go through
// none.
func WithEnvironmentProxy() Option {
	return func(s *clientSettings) { s.proxies = true }
}

// WithCallLogger logs every call at debug level: its method, code, reason and duration.
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
		grpc.WithDefaultServiceConfig(s.dialedConfig()),
		grpc.WithDefaultCallOptions(grpc.MaxRetryRPCBufferSize(retryBufferBytes)),
		grpc.WithConnectParams(reconnecting()),
		grpc.WithKeepaliveParams(keepingAlive()),
		grpc.WithUserAgent("tokend-go/" + version),
		grpc.WithChainUnaryInterceptor(callLogging(s.logger)),
	}
	if !s.proxies {
		opts = append(opts, grpc.WithNoProxy())
	}
	opts = append(opts, s.dial...)
	// The last interceptor is the innermost: those of the user see one call, whatever its attempts.
	return append(opts, grpc.WithChainUnaryInterceptor(attemptingTwice(s.callTimeout())))
}

// dialedConfig is [ServiceConfig] with a policy that is this package's alone, or else the user's config as it is.
func (s clientSettings) dialedConfig() string {
	if s.serviceConfig == ServiceConfig {
		return strings.Replace(ServiceConfig, roundrobin.Name, spreadingName, 1)
	}
	return s.serviceConfig
}

// callTimeout is the time of a call whose context has no deadline, as far as it is known.
func (s clientSettings) callTimeout() time.Duration {
	if s.serviceConfig == ServiceConfig {
		return callTimeout
	}
	return 0
}

// keepingAlive finds a server that hangs, or has gone without a word, although no call is under way.
func keepingAlive() keepalive.ClientParameters {
	return keepalive.ClientParameters{Time: keepaliveInterval, Timeout: keepaliveTimeout, PermitWithoutStream: true}
}

// reconnecting is gRPC's own back-off of connections with a lower ceiling: its two minutes would make an outage longer.
func reconnecting() grpc.ConnectParams {
	waiting := grpcbackoff.DefaultConfig
	waiting.BaseDelay, waiting.MaxDelay = firstReconnectDelay, maxReconnectDelay
	return grpc.ConnectParams{Backoff: waiting, MinConnectTimeout: minConnectTimeout}
}

func callLogging(logger *slog.Logger) grpc.UnaryClientInterceptor {
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
