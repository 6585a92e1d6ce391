package tokend

import (
	"math/rand/v2"
	"testing"
	"time"
)

var arrival = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func tokenOfLife(life time.Duration) Token {
	return Token{IssueTime: arrival, ExpireTime: arrival.Add(life), RefreshTime: arrival.Add(life / 2)}
}

// reading returns the reading of both clocks this long after the arrival.
func reading(after time.Duration) Reading {
	return Reading{Wall: arrival.Add(after), Monotonic: time.Hour + after}
}

func TestSnapshotIsFreshThenStaleThenExpired(t *testing.T) {
	const life = 900 * time.Second
	for _, c := range []struct {
		name   string
		random float64
		at     time.Duration
		want   state
	}{
		{"on arrival", 0, 0, fresh},
		{"before the refresh time", 0, 450*time.Second - 1, fresh},
		{"at the refresh time", 0, 450 * time.Second, stale},
		{"before the refresh time less all its jitter", 1, 405*time.Second - 1, fresh},
		{"at the refresh time less all its jitter", 1, 405 * time.Second, stale},
		{"at the refresh time less half its jitter", 0.5, 427500 * time.Millisecond, stale},
		{"before the skew", 0, 840*time.Second - 1, stale},
		{"at the skew", 0, 840 * time.Second, expired},
		{"long after", 0, 24 * time.Hour, expired},
	} {
		t.Run(c.name, func(t *testing.T) {
			held := newSnapshot(tokenOfLife(life), reading(0), time.Minute, c.random)
			if got := held.state(reading(c.at)); got != c.want {
				t.Errorf("state %v, want %v", got, c.want)
			}
		})
	}
}

func TestMissingSnapshotIsExpired(t *testing.T) {
	if got := (*snapshot)(nil).state(reading(0)); got != expired {
		t.Errorf("state %v, want expired", got)
	}
}

func TestSkewIsAtMostATenthOfLifetime(t *testing.T) {
	held := newSnapshot(tokenOfLife(100*time.Second), reading(0), time.Minute, 0)
	if got := held.usableFor; got != 90*time.Second {
		t.Errorf("handed out for %v, want 90s", got)
	}
}

func TestSkewLimitsLateRefreshTime(t *testing.T) {
	end := arrival.Add(900 * time.Second)
	token := Token{IssueTime: arrival, ExpireTime: end, RefreshTime: end}
	held := newSnapshot(token, reading(0), time.Minute, 0)
	if got := held.state(reading(840 * time.Second)); got != expired {
		t.Errorf("state %v, want expired", got)
	}
}

func TestJitterSpreadsRefreshesOfAThousandClients(t *testing.T) {
	const clients, life = 1000, 900 * time.Second
	random := rand.New(rand.NewPCG(1, 2))
	refreshes := map[int64]int{}
	for range clients {
		held := newSnapshot(tokenOfLife(life), reading(0), time.Minute, random.Float64())
		refreshes[int64(held.freshFor/time.Second)]++
	}
	// A tenth of 450 s: 45 seconds share 1,000 refreshes, 22 each on average.
	for second, count := range refreshes {
		if count > clients/20 {
			t.Errorf("%d refreshes in second %d", count, second)
		}
	}
	if len(refreshes) != 45 {
		t.Errorf("the refreshes share %d seconds, want 45", len(refreshes))
	}
}

func TestGreaterAgeOfBothClocksIsUsed(t *testing.T) {
	held := newSnapshot(tokenOfLife(900*time.Second), reading(0), time.Minute, 0)
	for name, now := range map[string]Reading{
		"the wall clock was set back":            {Wall: arrival.Add(-time.Hour), Monotonic: time.Hour + 840*time.Second},
		"the monotonic clock stood still":        {Wall: arrival.Add(840 * time.Second), Monotonic: time.Hour},
		"the wall clock was set forward by days": {Wall: arrival.Add(72 * time.Hour), Monotonic: time.Hour},
	} {
		if got := held.state(now); got != expired {
			t.Errorf("%s: state %v, want expired", name, got)
		}
	}
}

func TestWrongWallClockDoesNotChangeAge(t *testing.T) {
	for _, wrong := range []time.Duration{-24 * time.Hour, -time.Hour, 14 * time.Minute, 24 * time.Hour} {
		at := func(age time.Duration) Reading {
			return Reading{Wall: arrival.Add(wrong + age), Monotonic: time.Hour + age}
		}
		held := newSnapshot(tokenOfLife(900*time.Second), at(0), time.Minute, 0)
		for age, want := range map[time.Duration]state{
			450*time.Second - 1: fresh, 450 * time.Second: stale, 840*time.Second - 1: stale, 840 * time.Second: expired,
		} {
			if got := held.state(at(age)); got != want {
				t.Errorf("wrong by %v, after %v: state %v, want %v", wrong, age, got, want)
			}
		}
	}
}

func TestTokenWithoutIssueTimeIsMeasuredByWallClock(t *testing.T) {
	token := tokenOfLife(900 * time.Second)
	token.IssueTime = time.Time{}
	held := newSnapshot(token, reading(100*time.Second), time.Minute, 0)
	if held.freshFor != 350*time.Second || held.usableFor != 740*time.Second {
		t.Errorf("fresh for %v, usable for %v", held.freshFor, held.usableFor)
	}
}

func TestTokenIsFreshForAtLeastOneSecond(t *testing.T) {
	for name, token := range map[string]Token{
		"refreshed before it was issued": {
			IssueTime: arrival, ExpireTime: arrival.Add(900 * time.Second), RefreshTime: arrival.Add(-time.Minute),
		},
		"of a very short life":                   tokenOfLife(100 * time.Millisecond),
		"of a service whose clock is far behind": {ExpireTime: arrival.Add(-time.Hour), RefreshTime: arrival.Add(-2 * time.Hour)},
	} {
		held := newSnapshot(token, reading(0), time.Minute, 0.5)
		if got := held.state(reading(time.Second - 1)); got != fresh {
			t.Errorf("%s: state %v, want fresh", name, got)
		}
		if got := held.state(reading(time.Second)); got == fresh {
			t.Errorf("%s: it is still fresh", name)
		}
	}
}
