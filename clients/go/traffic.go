package tokend

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

const (
	// maxRefreshes is how many refreshes of a client are under way at a time.
	maxRefreshes = 32

	// toleratedSkew is how far the clocks of client and service may be apart before that is worth a warning.
	toleratedSkew = time.Minute
)

// traffic is what the refreshes of one client share, whichever of its sources and caches they belong to.
type traffic struct {
	turns     chan struct{} // those who wait to send take turns in the order in which they came
	successes atomic.Uint64
	warned    atomic.Bool
}

func newTraffic() *traffic { return &traffic{turns: make(chan struct{}, maxRefreshes)} }

// trafficOf is a client's own; what wraps a client, or stands in its place, has another for each source and cache.
func trafficOf(issuer Issuer) *traffic {
	if client, ok := issuer.(*Client); ok {
		return client.traffic
	}
	return newTraffic()
}

// enter waits for a turn, which leave ends, and says whether there is one.
func (t *traffic) enter(ctx context.Context) bool {
	select {
	case t.turns <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (t *traffic) leave() { <-t.turns }

// compare warns, once, where the wall clock and the service's are far apart. The token was issued between the readings.
func (t *traffic) compare(ctx context.Context, token Token, sent, arrived Reading, logger *slog.Logger) {
	if token.IssueTime.IsZero() {
		return
	}
	behind := token.IssueTime.Sub(arrived.Wall.Round(0))
	ahead := sent.Wall.Round(0).Sub(token.IssueTime)
	apart := max(behind, ahead) > toleratedSkew
	if apart && logger.Enabled(ctx, slog.LevelWarn) && t.warned.CompareAndSwap(false, true) {
		logger.WarnContext(ctx, "the clocks of this machine and of tokend are apart",
			"issue_time", token.IssueTime, "clock", arrived.Wall.Round(0))
	}
}
