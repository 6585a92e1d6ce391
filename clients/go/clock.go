package tokend

import "time"

// Reading is the time of both clocks at one moment.
type Reading struct {
	// Wall is the time of day. It may be wrong, and may be set.
	Wall time.Time
	// Monotonic is the time since a fixed moment. It never runs backwards.
	Monotonic time.Duration
}

// Clock reads the machine's wall clock and monotonic clock. It must be safe for concurrent use.
type Clock func() Reading

// systemClock returns the machine's own clocks.
func systemClock() Clock {
	begin := time.Now()
	return func() Reading {
		now := time.Now() // has both readings
		return Reading{Wall: now, Monotonic: now.Sub(begin)}
	}
}

// since returns the time that has passed since an earlier reading. The two clocks may differ: one may have been set, or
// may have stopped while the machine was suspended. The longer time counts, so that the age of a token is never
// underestimated.
func (r Reading) since(earlier Reading) time.Duration {
	// Not Sub, which takes twice the time and would use the monotonic readings that a time.Time may contain.
	byWall := time.Duration(r.Wall.UnixNano() - earlier.Wall.UnixNano())
	return max(byWall, r.Monotonic-earlier.Monotonic)
}
