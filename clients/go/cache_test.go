package tokend_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tokend.internal/go"
)

func newCache(t *testing.T, issuer tokend.Issuer, opts ...tokend.SourceOption) *tokend.Cache {
	cache := tokend.NewCache(issuer, append([]tokend.SourceOption{tokend.WithRandom(noJitter)}, opts...)...)
	t.Cleanup(func() { _ = cache.Close() })
	return cache
}

func TestEqualRequestsShareAToken(t *testing.T) {
	issuer := &scriptedIssuer{}
	cache := newCache(t, issuer)
	for range 3 {
		demand(t, cache.Source(request("alice")), "1")
		if token, err := cache.Token(t.Context(), request("alice")); err != nil || token.Value.Reveal() != "1" {
			t.Errorf("token %q, error %v", token.Value.Reveal(), err)
		}
	}
}

func TestRequestsThatDifferInAnyInputShareNoToken(t *testing.T) {
	cache := newCache(t, &scriptedIssuer{})
	seen := map[string]string{}
	for name, change := range map[string]func(*tokend.TokenRequest){
		"nothing":  func(*tokend.TokenRequest) {},
		"pool":     func(r *tokend.TokenRequest) { r.IdentityPoolID += "0" },
		"identity": func(r *tokend.TokenRequest) { r.IdentityID = "local:1" },
		"user":     func(r *tokend.TokenRequest) { r.Logins = request("bob").Logins },
		"login":    func(r *tokend.TokenRequest) { r.Logins["accounts.google.com"] = tokend.NewSecret("id token") },
		"tags":     func(r *tokend.TokenRequest) { r.PrincipalTags = map[string]string{"team": "blue"} },
		"duration": func(r *tokend.TokenRequest) { r.TokenDuration = new(time.Minute) },
	} {
		asked := request("alice")
		change(&asked)
		token, err := cache.Token(t.Context(), asked)
		if err != nil {
			t.Fatal(err)
		}
		if other, shared := seen[token.Value.Reveal()]; shared {
			t.Errorf("%s and %s share a token", name, other)
		}
		seen[token.Value.Reveal()] = name
	}
}

func TestTheLeastRecentlyUsedMakesRoom(t *testing.T) {
	issuer := &scriptedIssuer{}
	clock := &clock{now: time.Now()}
	cache := newCache(t, issuer, tokend.WithMaxUsers(2), tokend.WithClock(clock.Now))
	ask := func(user, want string) {
		t.Helper()
		clock.advance(time.Millisecond)
		demand(t, cache.Source(request(user)), want)
	}
	ask("alice", "1")
	ask("bob", "2")
	ask("alice", "1")
	ask("carol", "3") // bob makes room
	ask("alice", "1")
	ask("bob", "4") // carol makes room
	ask("alice", "1")
}

func TestACacheHoldsWhatAModelOfItHolds(t *testing.T) {
	const users, bound = 8, 5
	issuer := &scriptedIssuer{}
	clock := &clock{now: time.Now()}
	cache := newCache(t, issuer, tokend.WithMaxUsers(bound), tokend.WithClock(clock.Now))
	random := rand.New(rand.NewPCG(1, 2))
	var model []string // the least recently used first
	for range 2000 {
		clock.advance(time.Millisecond)
		user := fmt.Sprint("user", random.IntN(users))
		next, hit := without(model, user)
		calls := issuer.calls()
		if _, err := cache.Token(t.Context(), request(user)); err != nil {
			t.Fatal(err)
		}
		if got := issuer.calls() == calls; got != hit {
			t.Fatalf("hit: %v, want %v", got, hit)
		}
		model = append(next, user)
		model = model[max(len(model)-bound, 0):]
	}
}

func without(users []string, user string) ([]string, bool) {
	for i, other := range users {
		if other == user {
			return append(append([]string{}, users[:i]...), users[i+1:]...), true
		}
	}
	return users, false
}

func TestASourceOfAUserWhoMadeRoomBringsTheUserBack(t *testing.T) {
	issuer := &scriptedIssuer{}
	cache := newCache(t, issuer, tokend.WithMaxUsers(1))
	alice, bob := cache.Source(request("alice")), cache.Source(request("bob"))
	demand(t, alice, "1")
	demand(t, bob, "2")
	demand(t, alice, "3")
	demand(t, alice, "3")
	demand(t, cache.Source(request("alice")), "3")
}

func TestAUserWhoMakesRoomFailsNoCallerWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := &scriptedIssuer{}
		release := make(chan struct{})
		issuer.set(held(release))
		cache := newCache(t, issuer, tokend.WithMaxUsers(1))
		var waiting sync.WaitGroup
		waiting.Go(func() { demand(t, cache.Source(request("alice")), "1") })
		synctest.Wait()
		waiting.Go(func() { demand(t, cache.Source(request("bob")), "2") })
		synctest.Wait()
		close(release)
		waiting.Wait()
	})
}

func TestAClosedCacheAnswersErrClosedAndWakesThoseWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := &scriptedIssuer{}
		cache := newCache(t, issuer)
		warm := cache.Source(request("alice"))
		demand(t, warm, "1")
		issuer.set(held(nil))
		var waiting sync.WaitGroup
		waiting.Go(func() { refuse(t, cache.Source(request("bob")), tokend.ErrClosed) })
		synctest.Wait()
		begin := time.Now()
		_ = cache.Close()
		waiting.Wait()
		if waited := time.Since(begin); waited != 0 {
			t.Errorf("they waited %v more", waited)
		}
		refuse(t, warm, tokend.ErrClosed)
		refuse(t, cache.Source(request("carol")), tokend.ErrClosed)
		_ = cache.Close()
	})
}

func TestCloseOfACacheEndsTheRefreshesInTheBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := &scriptedIssuer{}
		cache := newCache(t, issuer)
		source := cache.Source(request("alice"))
		demand(t, source, "1")
		ended := false
		issuer.set(func(ctx context.Context) error { <-ctx.Done(); ended = true; return ctx.Err() })
		time.Sleep(untilStale)
		demand(t, source, "1")
		synctest.Wait()
		_ = cache.Close()
		if !ended {
			t.Error("Close returned before the refresh ended")
		}
	})
}

func TestManyUsersMayBeAskedForAtOnce(t *testing.T) {
	const users, bound = 40, 10
	issuer := &scriptedIssuer{}
	cache := newCache(t, issuer, tokend.WithMaxUsers(bound))
	sources := make([]tokend.TokenSource, users)
	for i := range sources {
		sources[i] = cache.Source(request(fmt.Sprint("user", i)))
	}
	parallel(16, func() {
		for range 500 {
			if _, err := sources[rand.IntN(users)].Token(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
	if issuer.calls() < users {
		t.Errorf("%d calls for %d users", issuer.calls(), users)
	}
}
