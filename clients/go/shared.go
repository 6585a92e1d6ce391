package tokend

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

const (
	// maxRefreshes is how many refreshes of a client run at a time.
	maxRefreshes = 32

	// maxClockDifference is how far the clocks of client and service may differ without a warning.
	maxClockDifference = time.Minute
)

// sharedState is the state that the refreshes of all sources and caches of one client share.
type sharedState struct {
	turns     chan struct{} // refreshes get their turns in the order of their requests
	successes atomic.Uint64
	warned    atomic.Bool
}

func newSharedState() *sharedState { return &sharedState{turns: make(chan struct{}, maxRefreshes)} }

// sharedStateOf returns the state of a client. With any other issuer, each source and cache has its own.
func sharedStateOf(issuer Issuer) *sharedState {
	if client, ok := issuer.(*Client); ok {
		return client.shared
	}
	return newSharedState()
}

// acquire waits for a turn, which release gives back, and reports whether it got one.
func (s *sharedState) acquire(ctx context.Context) bool {
	select {
	case s.turns <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (s *sharedState) release() { <-s.turns }

// compareClocks logs one warning if the wall clock and the service's differ by much. The token was issued between the
// readings.
func (s *sharedState) compareClocks(ctx context.Context, token Token, sent, arrived Reading, logger *slog.Logger) {
	if token.IssueTime.IsZero() {
		return
	}
	behind := token.IssueTime.Sub(arrived.Wall.Round(0))
	ahead := sent.Wall.Round(0).Sub(token.IssueTime)
	apart := max(behind, ahead) > maxClockDifference
	if apart && logger.Enabled(ctx, slog.LevelWarn) && s.warned.CompareAndSwap(false, true) {
		logger.WarnContext(ctx, "the clocks of this machine and of tokend differ",
			"issue_time", token.IssueTime, "clock", arrived.Wall.Round(0))
	}
}
