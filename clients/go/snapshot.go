package tokend

import "time"

type state int

const (
	fresh state = iota
	stale
	expired
)

// The maximum fractions of a token's lifetime for jitter and skew, as divisors.
const (
	jitterDivisor = 10
	skewDivisor   = 10
)

// minFresh is how long a token is fresh regardless of its times, so that a service that returns an old token, or
// whose clock is far behind, is not called for each request.
const minFresh = time.Second

// snapshot is a token with the ages of the caching policy. It is immutable.
type snapshot struct {
	token     Token
	arrived   Reading
	freshFor  time.Duration
	usableFor time.Duration
}

// newSnapshot returns the snapshot of a token that arrives now; random is from 0 up to 1.
func newSnapshot(token Token, now Reading, skew time.Duration, random float64) *snapshot {
	now.Wall = now.Wall.Round(0)
	issued := token.IssueTime
	if issued.IsZero() { // the service does not send it
		issued = now.Wall
	}
	life := max(token.ExpireTime.Sub(issued), 0)
	usableFor := life - min(skew, life/skewDivisor)
	untilRefresh := max(token.RefreshTime.Sub(issued), 0)
	jitter := time.Duration(random * float64(untilRefresh) / jitterDivisor)
	freshFor := max(min(untilRefresh-jitter, usableFor), minFresh)
	return &snapshot{token: token, arrived: now, freshFor: freshFor, usableFor: usableFor}
}

func (s *snapshot) state(now Reading) state {
	if s == nil {
		return expired
	}
	switch age := now.since(s.arrived); {
	case age < s.freshFor:
		return fresh
	case age < s.usableFor:
		return stale
	}
	return expired
}
