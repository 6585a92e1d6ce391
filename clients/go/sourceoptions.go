package tokend

import (
	"cmp"
	"fmt"
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

// SourceOption configures a [CachedTokenSource] or a [TokenCache].
type SourceOption func(*sourceSettings)

type sourceSettings struct {
	skew           time.Duration
	refreshTimeout time.Duration
	maxUsers       int
	clock          Clock
	random         func() float64
	logger         *slog.Logger // nil if not set
	provider       metric.MeterProvider
	meters         *meters
}

// WithSkew sets how long before its expiry a token is no longer returned, at most a tenth of its lifetime; 60 seconds
// by default. It panics if skew is negative.
func WithSkew(skew time.Duration) SourceOption {
	if skew < 0 {
		panic(fmt.Sprintf("tokend: skew must not be negative: %v", skew))
	}
	return func(s *sourceSettings) { s.skew = skew }
}

// WithRefreshTimeout sets the timeout of a refresh, 3 seconds by default. It panics if timeout is not positive.
func WithRefreshTimeout(timeout time.Duration) SourceOption {
	if timeout <= 0 {
		panic(fmt.Sprintf("tokend: refresh timeout must be positive: %v", timeout))
	}
	return func(s *sourceSettings) { s.refreshTimeout = timeout }
}

// WithMaxUsers sets how many users a cache holds, 10,000 by default. It panics if users is less than 1. A
// [CachedTokenSource] ignores it.
func WithMaxUsers(users int) SourceOption {
	if users < 1 {
		panic(fmt.Sprintf("tokend: maximum number of users must be positive: %d", users))
	}
	return func(s *sourceSettings) { s.maxUsers = users }
}

// WithClock sets the clock, by default the machine's own.
func WithClock(clock Clock) SourceOption {
	return func(s *sourceSettings) { s.clock = clock }
}

// WithRandom sets the random numbers for jitter and back-off, from 0 up to but not including 1. The function must be
// safe for concurrent use.
func WithRandom(random func() float64) SourceOption {
	return func(s *sourceSettings) { s.random = random }
}

// WithRefreshLogger logs refreshes. A failed refresh is a warning with the time of the next attempt. The logger also
// gets the one warning of a client whose clock and tokend's differ by more than a minute; without this option, it goes
// to [slog.Default].
func WithRefreshLogger(logger *slog.Logger) SourceOption {
	return func(s *sourceSettings) { s.logger = logger }
}

// WithMeterProvider sets the provider of the OpenTelemetry instruments, [otel.GetMeterProvider] by default.
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

// clockLogger is not silent by default: a wrong clock is a fault of the machine, which affects other programs, too.
func (s *sourceSettings) clockLogger() *slog.Logger { return cmp.Or(s.logger, slog.Default()) }
