package tokend_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"

	"tokend.internal/go"
	"tokend.internal/go/tokendtest"
)

// atOnce counts the concurrent calls of a service.
type atOnce struct {
	mu        sync.Mutex
	now, most int
	takes     time.Duration
}

func (a *atOnce) intercept(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	a.mu.Lock()
	a.now++
	a.most = max(a.most, a.now)
	a.mu.Unlock()
	time.Sleep(a.takes)
	a.mu.Lock()
	a.now--
	a.mu.Unlock()
	return handle(ctx, request)
}

func TestClientRunsAtMost32Refreshes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := &atOnce{takes: time.Second}
		server := tokendtest.NewServer(tokendtest.WithAlgorithm(tokendtest.ES256), tokendtest.WithInterceptor(calls.intercept))
		defer server.Close()
		client := server.Client()
		caches := []*tokend.TokenCache{newCache(t, client), newCache(t, client)}
		var asking sync.WaitGroup
		begin := time.Now()
		for i := range 160 { // of whom the last wait for four seconds, longer than a refresh may take
			asking.Go(func() {
				if _, err := caches[i%2].Token(t.Context(), request(fmt.Sprint("user", i))); err != nil {
					t.Error(err)
				}
			})
		}
		asking.Wait()
		if calls.most != 32 || time.Since(begin) != 5*time.Second {
			t.Errorf("%d at a time, all within %v", calls.most, time.Since(begin))
		}
	})
}

func TestRefreshesAreSentInOrderOfRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		issuer := &scriptedIssuer{answer: func(context.Context) error {
			time.Sleep(time.Second + time.Duration(calls.Add(1))*time.Millisecond) // so that they end one by one
			return nil
		}}
		cache := newCache(t, issuer)
		var asking sync.WaitGroup
		for i := range 100 {
			asking.Go(func() { _, _ = cache.Token(t.Context(), request(fmt.Sprint(i))) })
			synctest.Wait()
		}
		asking.Wait()
		for i, sent := range issuer.requests {
			if user := sent.Logins[tokendtest.DeveloperProviderName].Reveal(); user != fmt.Sprint(i) {
				t.Fatalf("%s was sent as number %d", user, i)
			}
		}
	})
}

func TestQueuedRefreshRunsWithoutWaitingCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		issuer := &scriptedIssuer{answer: held(release)}
		cache := newCache(t, issuer)
		var asking sync.WaitGroup
		for i := range 33 {
			asking.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if _, err := cache.Token(ctx, request(fmt.Sprint(i))); !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		asking.Wait()
		if issuer.calls() != 32 {
			t.Errorf("%d calls, want 32", issuer.calls())
		}
		close(release)
		synctest.Wait()
		wantToken(t, cache.Source(request("32")), "33")
		if issuer.calls() != 33 {
			t.Errorf("%d calls, want 33", issuer.calls())
		}
	})
}

func TestCloseWakesQueuedRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache := newCache(t, &scriptedIssuer{answer: held(nil)})
		var asking sync.WaitGroup
		for i := range 40 {
			asking.Go(func() { wantError(t, cache.Source(request(fmt.Sprint(i))), tokend.ErrClosed) })
		}
		synctest.Wait()
		begin := time.Now()
		_ = cache.Close()
		asking.Wait()
		if waited := time.Since(begin); waited != 0 {
			t.Errorf("they waited %v more", waited)
		}
	})
}

func TestOneSuccessEndsBackoffOfAllSourcesAfterOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokendtest.NewServer(tokendtest.WithAlgorithm(tokendtest.ES256))
		defer server.Close()
		client := server.Client(tokend.WithServiceConfig("{}"))
		ask := func(source tokend.TokenSource) error { _, err := source.Token(t.Context()); return err }
		first, second, refused := newSourceOf(t, client, "first"), newSourceOf(t, client, "second"), newSourceOf(t, client, "refused")
		server.Fail(tokendtest.Failure{Reason: tokend.TooManyRequests, RetryDelay: time.Minute})
		_ = ask(refused)
		server.Fail(tokendtest.Failure{})
		_, _ = ask(first), ask(second)
		server.Recover()
		if ask(first) == nil || ask(second) == nil {
			t.Fatal("there was no back-off")
		}
		if err := ask(newSourceOf(t, client, "third")); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(ask(first), ask(second)); err != nil {
			t.Error(err)
		}
		if err := ask(refused); !errors.Is(err, tokend.TooManyRequests) {
			t.Errorf("error %v, want the refusal", err)
		}
	})
}

func newSourceOf(t *testing.T, issuer tokend.Issuer, user string) *tokend.CachedTokenSource {
	source := tokend.NewTokenSource(issuer, request(user), tokend.WithRandom(noJitter))
	t.Cleanup(func() { _ = source.Close() })
	return source
}

func TestClockDifferenceIsLoggedOnce(t *testing.T) {
	for off, want := range map[time.Duration]int{
		-time.Hour: 1, -61 * time.Second: 1, -58 * time.Second: 0, 0: 0, 58 * time.Second: 0, 62 * time.Second: 1, 14 * time.Minute: 1,
	} {
		t.Run(off.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := tokendtest.NewServer(tokendtest.WithAlgorithm(tokendtest.ES256))
				defer server.Close()
				client := server.Client()
				var out bytes.Buffer
				for i, logger := range []*slog.Logger{
					slog.New(slog.DiscardHandler), // whose warning would reach no one
					slog.New(slog.NewTextHandler(&out, nil)), slog.New(slog.NewTextHandler(&out, nil)),
				} {
					clock := newClock()
					clock.moveWall(off)
					source := tokend.NewTokenSource(client, request(fmt.Sprint(i)),
						tokend.WithClock(clock.Now), tokend.WithRefreshLogger(logger))
					if _, err := source.Token(t.Context()); err != nil {
						t.Error(err)
					}
					_ = source.Close()
				}
				if got := strings.Count(out.String(), "clocks"); got != want {
					t.Errorf("%d warnings, want %d: %s", got, want, out.String())
				}
			})
		})
	}
}

func TestDefaultLoggerGetsOnlyClockWarning(t *testing.T) {
	var out bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&out, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
	server := newServer(t)
	client := server.Client()
	clock := newClock()
	clock.moveWall(-time.Hour)
	for i := range 2 {
		source := tokend.NewTokenSource(client, request(fmt.Sprint(i)), tokend.WithClock(clock.Now))
		if _, err := source.Token(t.Context()); err != nil {
			t.Error(err)
		}
		_ = source.Close() // which waits for the warning
	}
	server.Fail(tokendtest.Failure{Reason: tokend.NotAuthorized})
	refused := newSourceOf(t, client, "refused")
	wantError(t, refused, tokend.NotAuthorized)
	_ = refused.Close()
	if text := out.String(); strings.Count(text, "level=") != 1 || !strings.Contains(text, "clocks") {
		t.Errorf("logged %q", text)
	}
}
