package tokend

import (
	"cmp"
	"log/slog"
	"math/rand/v2"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
)

const (
	defaultSkew           = 60 * time.Second
	defaultRefreshTimeout = 3 * time.Second
	defaultMaxUsers       = 10_000
)

// SourceOption is a setting of a [CachedTokenSource] or a [TokenCache].
type SourceOption func(*sourceSettings)

type sourceSettings struct {
	skew           time.Duration
	refreshTimeout time.Duration
	maxUsers       int
	clock          Clock
	random         func() float64
	logger         *slog.Logger // nil where none was set
	provider       metric.MeterProvider
	meters         *meters
}

// WithSkew sets how long before its expiry a token is not handed out any more, at most a tenth of its life; 60 seconds
// by default. A negative one panics.
func WithSkew(skew time.Duration) SourceOption {
	if skew < 0 {
		panic("tokend: a negative skew")
	}
	return func(s *sourceSettings) { s.skew = skew }
}

// WithRefreshTimeout sets the deadline of a refresh; 3 seconds by default. It panics where there is no time.
func WithRefreshTimeout(timeout time.Duration) SourceOption {
	if timeout <= 0 {
		panic("tokend: a refresh without time")
	}
	return func(s *sourceSettings) { s.refreshTimeout = timeout }
}

// WithMaxUsers sets how many users a cache holds, at least 1, or it panics; 10,000 by default. A single source ignores it.
func WithMaxUsers(users int) SourceOption {
	if users < 1 {
		panic("tokend: a cache for less than one user")
	}
	return func(s *sourceSettings) { s.maxUsers = users }
}

// WithClock sets what tells the time, the machine's own clocks by default.
func WithClock(clock Clock) SourceOption {
	return func(s *sourceSettings) { s.clock = clock }
}

// WithRandom sets where jitter and back-off come from: numbers from 0 up to 1, asked for by several goroutines.
func WithRandom(random func() float64) SourceOption {
	return func(s *sourceSettings) { s.random = random }
}

// WithRefreshLogger logs refreshes: those that fail as warnings, with the time before which no other is tried. It also
// gets the one warning of a client whose clock and tokend's are more than a minute apart, which otherwise goes to
// [slog.Default].
func WithRefreshLogger(logger *slog.Logger) SourceOption {
	return func(s *sourceSettings) { s.logger = logger }
}

// WithMeterProvider sets where OpenTelemetry's instruments come from, [otel.GetMeterProvider] by default.
func WithMeterProvider(provider metric.MeterProvider) SourceOption {
	return func(s *sourceSettings) { s.provider = provider }
}

func newSourceSettings(opts []SourceOption) *sourceSettings {
	settings := &sourceSettings{
		skew:           defaultSkew,
		refreshTimeout: defaultRefreshTimeout,
		maxUsers:       defaultMaxUsers,
		clock:          systemClock(),
		random:         rand.Float64,
		provider:       otel.GetMeterProvider(),
	}
	for _, opt := range opts {
		opt(settings)
	}
	settings.meters = newMeters(settings.provider)
	return settings
}

var noLogger = slog.New(slog.DiscardHandler)

func (s *sourceSettings) refreshLogger() *slog.Logger { return cmp.Or(s.logger, noLogger) }

// clockLogger is never silent by default: a wrong clock is the machine's fault, and others suffer from it, too.
func (s *sourceSettings) clockLogger() *slog.Logger { return cmp.Or(s.logger, slog.Default()) }
