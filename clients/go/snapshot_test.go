package tokend

import (
	"math/rand/v2"
	"testing"
	"time"
)

var arrival = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func tokenOfLife(life time.Duration) Token {
	return Token{ExpireTime: arrival.Add(life), RefreshTime: arrival.Add(life / 2)}
}

func TestStatesOfASnapshot(t *testing.T) {
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
			held := newSnapshot(tokenOfLife(life), arrival, time.Minute, c.random)
			if got := held.state(arrival.Add(c.at)); got != c.want {
				t.Errorf("state %v, want %v", got, c.want)
			}
		})
	}
}

func TestNoSnapshotIsExpired(t *testing.T) {
	if got := (*snapshot)(nil).state(arrival); got != expired {
		t.Errorf("state %v, want expired", got)
	}
}

func TestTheSkewIsAtMostATenthOfTheLife(t *testing.T) {
	held := newSnapshot(tokenOfLife(100*time.Second), arrival, time.Minute, 0)
	if got := held.unusedFrom.Sub(arrival); got != 90*time.Second {
		t.Errorf("handed out for %v, want 90s", got)
	}
}

func TestTheSkewHoldsWhereTheServerNamesALateRefreshTime(t *testing.T) {
	token := Token{ExpireTime: arrival.Add(900 * time.Second), RefreshTime: arrival.Add(900 * time.Second)}
	held := newSnapshot(token, arrival, time.Minute, 0)
	if got := held.state(arrival.Add(840 * time.Second)); got != expired {
		t.Errorf("state %v, want expired", got)
	}
}

func TestATokenThatArrivesExpiredIsExpired(t *testing.T) {
	held := newSnapshot(tokenOfLife(-time.Second), arrival, time.Minute, 0.5)
	if got := held.state(arrival); got != expired {
		t.Errorf("state %v, want expired", got)
	}
}

func TestThousandClientsOfOneSecondDoNotRefreshInOneSecond(t *testing.T) {
	const clients, life = 1000, 900 * time.Second
	random := rand.New(rand.NewPCG(1, 2))
	refreshes := map[int64]int{}
	for range clients {
		held := newSnapshot(tokenOfLife(life), arrival, time.Minute, random.Float64())
		refreshes[held.staleFrom.Unix()]++
	}
	// A tenth of 450 s: 45 seconds share 1,000 refreshes, 22 each on average.
	for second, count := range refreshes {
		if count > clients/20 {
			t.Errorf("%d refreshes in second %d", count, second-arrival.Unix())
		}
	}
	if len(refreshes) != 45 {
		t.Errorf("the refreshes share %d seconds, want 45", len(refreshes))
	}
}
