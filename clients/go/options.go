package tokend

import (
	"context"
	"log/slog"
	"time"

	"google.golang.org/grpc"
	grpcbackoff "google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

const (
	maxReconnectDelay = 5 * time.Second
	minConnectTimeout = 3 * time.Second
)

// Option is a setting of a [Client].
type Option func(*clientSettings)

type clientSettings struct {
	transport     credentials.TransportCredentials
	serviceConfig string
	logger        *slog.Logger
	dial          []grpc.DialOption
}

// WithTransportCredentials sets how the connection is secured, for example mutual TLS with [ClientCertificate].
func WithTransportCredentials(transport credentials.TransportCredentials) Option {
	return func(s *clientSettings) { s.transport = transport }
}

// WithInsecure speaks plaintext: logins and tokens cross the wire unprotected. It is for the loopback and for a sidecar
// that secures the connection.
func WithInsecure() Option { return WithTransportCredentials(insecure.NewCredentials()) }

// WithBearerTokenFile tells the service who calls by the bearer token in a file, such as a Kubernetes service account's.
// Each call reads the file again. The token is not sent in plaintext: with [WithInsecure], [New] fails.
func WithBearerTokenFile(path string) Option {
	return WithDialOptions(grpc.WithPerRPCCredentials(bearerFile(path)))
}

// WithServiceConfig replaces [ServiceConfig].
func WithServiceConfig(config string) Option {
	return func(s *clientSettings) { s.serviceConfig = config }
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
	return append([]grpc.DialOption{
		grpc.WithTransportCredentials(s.transport),
		grpc.WithDefaultServiceConfig(s.serviceConfig),
		grpc.WithDefaultCallOptions(grpc.MaxRetryRPCBufferSize(retryBufferBytes)),
		grpc.WithConnectParams(reconnecting()),
		grpc.WithChainUnaryInterceptor(callLogging(s.logger)),
	}, s.dial...)
}

// reconnecting is gRPC's own back-off of connections with a lower ceiling: its two minutes would make an outage longer.
func reconnecting() grpc.ConnectParams {
	waiting := grpcbackoff.DefaultConfig
	waiting.MaxDelay = maxReconnectDelay
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
