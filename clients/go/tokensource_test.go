package tokend_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tokend.internal/go"
	"tokend.internal/go/tokendtest"
)

const (
	untilStale   = life / 3
	untilExpired = life - time.Minute
)

func TestFreshTokenIsReturnedWithoutCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := &scriptedIssuer{}
		source := newSource(t, issuer)
		wantToken(t, source, "1")
		time.Sleep(untilStale - 1)
		wantToken(t, source, "1")
		synctest.Wait()
		if issuer.calls() != 1 {
			t.Errorf("%d calls, want 1", issuer.calls())
		}
	})
}

func TestStaleTokenIsReturnedDuringRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := &scriptedIssuer{}
		source := newSource(t, issuer)
		wantToken(t, source, "1")
		release := make(chan struct{})
		issuer.set(held(release))
		time.Sleep(untilStale)
		begin := time.Now()
		parallel(64, func() { wantToken(t, source, "1") })
		if waited := time.Since(begin); waited != 0 {
			t.Errorf("callers waited %v", waited)
		}
		synctest.Wait()
		if issuer.calls() != 2 {
			t.Errorf("%d calls, want 2", issuer.calls())
		}
		close(release)
		synctest.Wait()
		wantToken(t, source, "2")
	})
}

func TestCallersWithoutUsableTokenWaitForOneCall(t *testing.T) {
	for name, age := range map[string]time.Duration{"cold": 0, "expired": untilExpired} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				issuer := &scriptedIssuer{}
				source := newSource(t, issuer)
				want := "1"
				if age > 0 {
					wantToken(t, source, "1")
					want = "2"
				}
				time.Sleep(age)
				issuer.set(func(context.Context) error { time.Sleep(time.Second); return nil })
				parallel(64, func() { wantToken(t, source, want) })
			})
		})
	}
}

func TestCancellationOfCallerDoesNotAffectOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := &scriptedIssuer{}
		release := make(chan struct{})
		issuer.set(held(release))
		source := newSource(t, issuer)
		ctx, cancel := context.WithCancel(t.Context())
		var waiting sync.WaitGroup
		waiting.Go(func() { // the one whose call started the refresh
			if _, err := source.Token(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("error %v, want Canceled", err)
			}
		})
		synctest.Wait()
		waiting.Go(func() { wantToken(t, source, "1") })
		synctest.Wait()
		cancel()
		synctest.Wait()
		close(release)
		waiting.Wait()
	})
}

func TestEachCallerWaitsUntilItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := &scriptedIssuer{answer: func(context.Context) error { time.Sleep(2 * time.Second); return nil }}
		source := newSource(t, issuer)
		begin := time.Now()
		var waiting sync.WaitGroup
		waiting.Go(func() { wantToken(t, source, "1") })
		waiting.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := source.Token(ctx)
			if failed, ok := asError(err); !ok || !errors.Is(failed, context.DeadlineExceeded) {
				t.Errorf("error %v, want a typed DeadlineExceeded", err)
			}
			if waited := time.Since(begin); waited != time.Second {
				t.Errorf("it waited %v, want 1s", waited)
			}
		})
		waiting.Wait()
	})
}

func TestRefreshHasItsOwnDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := &scriptedIssuer{answer: held(nil)}
		source := newSource(t, issuer)
		begin := time.Now()
		wantError(t, source, context.DeadlineExceeded)
		if waited := time.Since(begin); waited != 3*time.Second {
			t.Errorf("it waited %v, want 3s", waited)
		}
	})
}

func TestWithRefreshTimeoutSetsDeadlineOfRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := &scriptedIssuer{answer: held(nil)}
		source := newSource(t, issuer, tokend.WithRefreshTimeout(10*time.Second))
		begin := time.Now()
		wantError(t, source, context.DeadlineExceeded)
		if waited := time.Since(begin); waited != 10*time.Second {
			t.Errorf("it waited %v, want 10s", waited)
		}
	})
}

func TestWithSkewLimitsUseOfToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := &scriptedIssuer{}
		source := newSource(t, issuer, tokend.WithSkew(10*time.Second))
		wantToken(t, source, "1")
		issuer.set(down)
		time.Sleep(life - 10*time.Second - 1)
		wantToken(t, source, "1")
		time.Sleep(time.Nanosecond)
		wantError(t, source, errDown)
	})
}

func TestExpiredTokenIsNotReturnedAfterFailedRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := &scriptedIssuer{}
		source := newSource(t, issuer)
		wantToken(t, source, "1")
		issuer.set(down)
		time.Sleep(untilExpired)
		wantError(t, source, errDown)
	})
}

func TestCallersDuringBackoffWithoutTokenGetLastFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := &scriptedIssuer{answer: down}
		source := newSource(t, issuer) // whose first back-off is half a second
		wantError(t, source, errDown)
		issuer.set(nil)
		time.Sleep(500*time.Millisecond - 1)
		wantError(t, source, errDown)
		if issuer.calls() != 1 {
			t.Errorf("%d calls, want 1", issuer.calls())
		}
		time.Sleep(time.Nanosecond)
		wantToken(t, source, "2")
	})
}

func TestRetryInfoIsRespected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := &scriptedIssuer{}
		source := newSource(t, issuer)
		wantToken(t, source, "1")
		issuer.set(func(context.Context) error { return &tokend.Error{RetryDelay: 30 * time.Second} })
		time.Sleep(untilStale)
		for range 60 {
			wantToken(t, source, "1")
			time.Sleep(time.Second)
		}
		if issuer.calls() != 3 {
			t.Errorf("%d calls, want the first and two in 60 s", issuer.calls())
		}
	})
}

func TestSuccessEndsBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := &scriptedIssuer{answer: down}
		source := newSource(t, issuer)
		for range 5 {
			wantError(t, source, errDown)
			time.Sleep(time.Minute)
		}
		issuer.set(nil)
		wantToken(t, source, "6")
		issuer.set(down)
		time.Sleep(life)
		wantError(t, source, errDown)
		time.Sleep(500 * time.Millisecond)
		issuer.set(nil)
		wantToken(t, source, "8")
	})
}

func TestClosedSourceReturnsErrClosedAndWakesCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := &scriptedIssuer{answer: held(nil)}
		source := newSource(t, issuer)
		var waiting sync.WaitGroup
		for range 8 {
			waiting.Go(func() { wantError(t, source, tokend.ErrClosed) })
		}
		synctest.Wait()
		begin := time.Now()
		_ = source.Close()
		waiting.Wait()
		if waited := time.Since(begin); waited != 0 {
			t.Errorf("they waited %v more", waited)
		}
		_ = source.Close()
		wantError(t, source, tokend.ErrClosed)
	})
}

func TestClosedSourceReturnsNoToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := &scriptedIssuer{}
		source := newSource(t, issuer)
		wantToken(t, source, "1")
		_ = source.Close()
		wantError(t, source, tokend.ErrClosed)
	})
}

func TestCloseEndsBackgroundRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := &scriptedIssuer{}
		source := newSource(t, issuer)
		wantToken(t, source, "1")
		ended := make(chan error, 1)
		issuer.set(func(ctx context.Context) error { <-ctx.Done(); ended <- ctx.Err(); return ctx.Err() })
		time.Sleep(untilStale)
		wantToken(t, source, "1")
		synctest.Wait()
		_ = source.Close()
		select {
		case err := <-ended:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("it ended with %v", err)
			}
		default:
			t.Error("Close returned before the refresh ended")
		}
	})
}

func TestCloseWakesCallersOfHangingRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		issuer := &scriptedIssuer{answer: func(context.Context) error { <-release; return nil }}
		source := newSource(t, issuer)
		var waiting, closing sync.WaitGroup
		waiting.Go(func() { wantError(t, source, tokend.ErrClosed) })
		synctest.Wait()
		closing.Go(func() { _ = source.Close() })
		waiting.Wait()
		close(release)
		closing.Wait()
	})
}

func TestSourceCopiesRequest(t *testing.T) {
	issuer := &scriptedIssuer{}
	asked := request("alice")
	asked.PrincipalTags = map[string]string{"team": "blue"}
	asked.TokenDuration = pointer(time.Minute)
	source := tokend.NewTokenSource(issuer, asked)
	defer source.Close()
	asked.Logins[tokendtest.DeveloperProviderName] = tokend.NewSecret("mallory")
	asked.PrincipalTags["team"] = "red"
	*asked.TokenDuration = time.Hour
	wantToken(t, source, "1")
	sent := issuer.requests[0]
	if user := sent.Logins[tokendtest.DeveloperProviderName].Reveal(); user != "alice" ||
		sent.PrincipalTags["team"] != "blue" || *sent.TokenDuration != time.Minute {
		t.Errorf("asked for %s of team %s for %v", user, sent.PrincipalTags["team"], *sent.TokenDuration)
	}
}

func TestFreshReadAllocatesNothing(t *testing.T) {
	issuer := &scriptedIssuer{}
	cache := tokend.NewTokenCache(issuer)
	defer cache.Close()
	for name, source := range map[string]tokend.TokenSource{
		"source": newSource(t, issuer), "source of a cache": cache.Source(request("alice")),
	} {
		ask := func() { _, _ = source.Token(t.Context()) }
		ask()
		if allocations := testing.AllocsPerRun(1000, ask); allocations != 0 {
			t.Errorf("%s: %v allocations", name, allocations)
		}
	}
}

func TestSourceSupportsConcurrentCallersAndClose(t *testing.T) {
	issuer := &scriptedIssuer{}
	clock := newClock()
	source := tokend.NewTokenSource(issuer, request("alice"), tokend.WithClock(clock.Now))
	var running sync.WaitGroup
	for range 16 {
		running.Go(func() {
			for range 200 {
				clock.advance(time.Minute)
				if _, err := source.Token(t.Context()); err != nil && !errors.Is(err, tokend.ErrClosed) {
					t.Error(err)
				}
			}
		})
	}
	running.Go(func() {
		for issuer.calls() < 5 {
			if _, err := source.Token(t.Context()); err != nil {
				return
			}
		}
		_ = source.Close()
	})
	running.Wait()
	_ = source.Close()
	wantError(t, source, tokend.ErrClosed)
}

// clock moves only when a test moves it.
type clock struct {
	mu  sync.Mutex
	now tokend.Reading
}

func newClock() *clock { return &clock{now: tokend.Reading{Wall: time.Now().Round(0)}} }

func (c *clock) Now() tokend.Reading {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now.Wall = c.now.Wall.Add(by)
	c.now.Monotonic += by
}

// moveWall moves only the wall clock.
func (c *clock) moveWall(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now.Wall = c.now.Wall.Add(by)
}

func parallel(callers int, call func()) {
	var running sync.WaitGroup
	for range callers {
		running.Go(call)
	}
	running.Wait()
}
