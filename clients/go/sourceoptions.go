package tokend

import (
	"log/slog"
	"math/rand/v2"
	"time"
)

const (
	defaultSkew           = 60 * time.Second
	defaultRefreshTimeout = 3 * time.Second
	defaultMaxUsers       = 10_000
)

// SourceOption is a setting of a [Source] or a [Cache].
type SourceOption func(*sourceSettings)

type sourceSettings struct {
	skew           time.Duration
	refreshTimeout time.Duration
	maxUsers       int
	now            func() time.Time
	random         func() float64
	logger         *slog.Logger
}

// WithSkew sets how long before its expiry a token is not handed out any more, at most a tenth of its life; 60 seconds
// by default.
func WithSkew(skew time.Duration) SourceOption {
	return func(s *sourceSettings) { s.skew = skew }
}

// WithRefreshTimeout sets the deadline of a refresh; 3 seconds by default.
func WithRefreshTimeout(timeout time.Duration) SourceOption {
	return func(s *sourceSettings) { s.refreshTimeout = timeout }
}

// WithMaxUsers sets how many users a cache holds, at least 1; 10,000 by default. A single source ignores it.
func WithMaxUsers(users int) SourceOption {
	return func(s *sourceSettings) { s.maxUsers = max(users, 1) }
}

// WithClock sets what tells the time, [time.Now] by default.
func WithClock(now func() time.Time) SourceOption {
	return func(s *sourceSettings) { s.now = now }
}

// WithRandom sets where jitter and back-off come from: numbers from 0 up to 1, asked for by several goroutines.
func WithRandom(random func() float64) SourceOption {
	return func(s *sourceSettings) { s.random = random }
}

// WithRefreshLogger logs refreshes: those that fail as warnings, with the time before which no other is tried.
func WithRefreshLogger(logger *slog.Logger) SourceOption {
	return func(s *sourceSettings) { s.logger = logger }
}

func newSourceSettings(opts []SourceOption) *sourceSettings {
	settings := &sourceSettings{
		skew:           defaultSkew,
		refreshTimeout: defaultRefreshTimeout,
		maxUsers:       defaultMaxUsers,
		now:            time.Now,
		random:         rand.Float64,
		logger:         slog.New(slog.DiscardHandler),
	}
	for _, opt := range opts {
		opt(settings)
	}
	return settings
}
