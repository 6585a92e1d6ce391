package tokend

import "time"

type state int

const (
	fresh state = iota
	stale
	expired
)

// The parts of a token's time that jitter and skew take at the most.
const (
	jitterPart = 10
	skewPart   = 10
)

// snapshot is a token with the times of the caching policy. It never changes.
type snapshot struct {
	token      Token
	staleFrom  time.Time
	unusedFrom time.Time
}

// newSnapshot is the snapshot of a token that arrives now; random is from 0 up to 1.
func newSnapshot(token Token, now time.Time, skew time.Duration, random float64) *snapshot {
	life := max(token.ExpireTime.Sub(now), 0)
	unusedFrom := token.ExpireTime.Add(-min(skew, life/skewPart))
	untilRefresh := max(token.RefreshTime.Sub(now), 0)
	jitter := time.Duration(random * float64(untilRefresh) / jitterPart)
	return &snapshot{token: token, staleFrom: earlier(token.RefreshTime.Add(-jitter), unusedFrom), unusedFrom: unusedFrom}
}

func (s *snapshot) state(now time.Time) state {
	switch {
	case s == nil:
		return expired
	case now.Before(s.staleFrom):
		return fresh
	case now.Before(s.unusedFrom):
		return stale
	}
	return expired
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
