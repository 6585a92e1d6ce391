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

	// toleratedSkew is how far the clocks of client and service may differ without a warning.
	toleratedSkew = time.Minute
)

// traffic is the state that the refreshes of all sources and caches of one client share.
type traffic struct {
	turns     chan struct{} // refreshes get their turns in the order of their requests
	successes atomic.Uint64
	warned    atomic.Bool
}

func newTraffic() *traffic { return &traffic{turns: make(chan struct{}, maxRefreshes)} }

// trafficOf returns the traffic of a client. With any other issuer, each source and cache has its own.
func trafficOf(issuer Issuer) *traffic {
	if client, ok := issuer.(*Client); ok {
		return client.traffic
	}
	return newTraffic()
}

// enter waits for a turn, which leave ends, and reports whether it got one.
func (t *traffic) enter(ctx context.Context) bool {
	select {
	case t.turns <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (t *traffic) leave() { <-t.turns }

// compare logs one warning if the wall clock and the service's differ by much. The token was issued between the
// readings.
func (t *traffic) compare(ctx context.Context, token Token, sent, arrived Reading, logger *slog.Logger) {
	if token.IssueTime.IsZero() {
		return
	}
	behind := token.IssueTime.Sub(arrived.Wall.Round(0))
	ahead := sent.Wall.Round(0).Sub(token.IssueTime)
	apart := max(behind, ahead) > toleratedSkew
	if apart && logger.Enabled(ctx, slog.LevelWarn) && t.warned.CompareAndSwap(false, true) {
		logger.WarnContext(ctx, "the clocks of this machine and of tokend differ",
			"issue_time", token.IssueTime, "clock", arrived.Wall.Round(0))
	}
}
