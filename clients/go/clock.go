package tokend

import "time"

// Reading is what a [Clock] tells at one moment.
type Reading struct {
	// Wall is the time of day, which may be wrong, and may be set.
	Wall time.Time
	// Monotonic is the time since some moment, which never runs backwards.
	Monotonic time.Duration
}

// Clock tells the time by both of a machine's clocks. Several goroutines ask it at once.
type Clock func() Reading

// systemClock is the machine's own clocks.
func systemClock() Clock {
	begin := time.Now()
	return func() Reading {
		now := time.Now() // has both readings
		return Reading{Wall: now, Monotonic: now.Sub(begin)}
	}
}

// since is the time that has passed since an earlier reading. The clocks may differ: one was set, or stood still while
// the machine slept. The longer time counts, so that no token is taken to be younger than it may be.
func (r Reading) since(earlier Reading) time.Duration {
	// Not Sub, which takes twice the time, and would look at the monotonic readings that a time.Time may hold.
	byWall := time.Duration(r.Wall.UnixNano() - earlier.Wall.UnixNano())
	return max(byWall, r.Monotonic-earlier.Monotonic)
}
