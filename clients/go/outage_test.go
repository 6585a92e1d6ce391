package tokend_test

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"tokend.internal/go"
)

// An outage of half a token's lifetime must not be noticed, whenever it begins.
func TestOutageOfHalfTheLifetimeCausesNoFailure(t *testing.T) {
	for begin := time.Duration(0); begin <= life; begin += 30 * time.Second {
		requestThroughOutage(t, begin, life/2, rand.New(rand.NewPCG(1, uint64(begin))).Float64)
	}
}

func TestOutageFromRefreshCausesNoFailureUntilSkewAndBackoff(t *testing.T) {
	for name, c := range map[string]struct {
		begin  time.Duration
		random float64
	}{
		"no jitter and short back-off":    {untilStale - time.Second, 0},
		"all jitter and longest back-off": {untilStale*9/10 - time.Second, 1 - 1e-9},
	} {
		t.Run(name, func(t *testing.T) {
			requestThroughOutage(t, c.begin, untilExpired-time.Minute-c.begin, func() float64 { return c.random })
		})
	}
}

func TestOutageCausesBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := &scriptedIssuer{}
		source := newSource(t, issuer)
		wantToken(t, source, "1")
		issuer.set(down)
		time.Sleep(untilStale)
		for end := time.Now().Add(6 * time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			wantToken(t, source, "1")
			synctest.Wait()
		}
		// Without jitter each wait is half of 1, 2, 4, 8, 16, 32, 60, 60, ... seconds.
		attempts := issuer.attempts[1:]
		for i, want := range []time.Duration{500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000} {
			if got := attempts[i+1].Sub(attempts[i]); got != want*time.Millisecond {
				t.Errorf("attempt %d came %v after the one before, want %v", i+1, got, want*time.Millisecond)
			}
		}
	})
}

// requestThroughOutage requests a token each second, from a warm start until long after an outage of the service, and
// fails the test if a request fails.
func requestThroughOutage(t *testing.T, begin, duration time.Duration, random func() float64) {
	synctest.Test(t, func(t *testing.T) {
		issuer := &scriptedIssuer{}
		source := newSource(t, issuer, tokend.WithRandom(random))
		wantToken(t, source, "1")
		start := time.Now()
		for time.Since(start) < 2*life {
			if since := time.Since(start); since >= begin && since < begin+duration {
				issuer.set(down)
			} else {
				issuer.set(nil)
			}
			if _, err := source.Token(t.Context()); err != nil {
				t.Fatalf("outage after %v: a caller saw it after %v: %v", begin, time.Since(start), err)
			}
			synctest.Wait()
			time.Sleep(time.Second)
		}
	})
}
