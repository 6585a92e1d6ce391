package tokend_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tokend.internal/go"
	"tokend.internal/go/tokendtest"
)

func newCache(t *testing.T, issuer tokend.Issuer, opts ...tokend.SourceOption) *tokend.TokenCache {
	cache := tokend.NewTokenCache(issuer, append([]tokend.SourceOption{tokend.WithRandom(noJitter)}, opts...)...)
	t.Cleanup(func() { _ = cache.Close() })
	return cache
}

func TestEqualRequestsShareAToken(t *testing.T) {
	issuer := &scriptedIssuer{}
	cache := newCache(t, issuer)
	for range 3 {
		wantToken(t, cache.Source(request("alice")), "1")
		if token, err := cache.Token(t.Context(), request("alice")); err != nil || token.Value.Reveal() != "1" {
			t.Errorf("token %q, error %v", token.Value.Reveal(), err)
		}
	}
}

func TestDifferentRequestsShareNoToken(t *testing.T) {
	cache := newCache(t, &scriptedIssuer{})
	seen := map[string]string{}
	for name, change := range map[string]func(*tokend.TokenRequest){
		"nothing":  func(*tokend.TokenRequest) {},
		"pool":     func(r *tokend.TokenRequest) { r.IdentityPoolID += "0" },
		"identity": func(r *tokend.TokenRequest) { r.IdentityID = "local:1" },
		"user":     func(r *tokend.TokenRequest) { r.Logins = request("bob").Logins },
		"login":    func(r *tokend.TokenRequest) { r.Logins["accounts.google.com"] = tokend.NewSecret("id token") },
		"tags":     func(r *tokend.TokenRequest) { r.PrincipalTags = map[string]string{"team": "blue"} },
		"duration": func(r *tokend.TokenRequest) { r.TokenDuration = pointer(time.Minute) },
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

func TestLeastRecentlyUsedIsEvicted(t *testing.T) {
	issuer := &scriptedIssuer{}
	clock := newClock()
	cache := newCache(t, issuer, tokend.WithMaxUsers(2), tokend.WithClock(clock.Now))
	ask := func(user, want string) {
		t.Helper()
		clock.advance(time.Millisecond)
		wantToken(t, cache.Source(request(user)), want)
	}
	ask("alice", "1")
	ask("bob", "2")
	ask("alice", "1")
	ask("carol", "3") // bob makes room
	ask("alice", "1")
	ask("bob", "4") // carol makes room
	ask("alice", "1")
}

func TestFirstOfUsersOfSameMillisecondIsEvicted(t *testing.T) {
	clock := newClock() // which stands still
	issuer := &scriptedIssuer{}
	cache := newCache(t, issuer, tokend.WithMaxUsers(10), tokend.WithClock(clock.Now))
	for i := range 15 {
		wantToken(t, cache.Source(request(fmt.Sprint(i))), fmt.Sprint(i+1))
	}
	for i := 5; i < 15; i++ {
		wantToken(t, cache.Source(request(fmt.Sprint(i))), fmt.Sprint(i+1))
	}
}

// choosyIssuer rejects some users.
type choosyIssuer struct {
	scriptedIssuer

	refuses map[string]bool
}

func (i *choosyIssuer) GetOpenIdTokenForDeveloperIdentity(
	ctx context.Context, request tokend.TokenRequest,
) (tokend.Token, error) {
	token, err := i.scriptedIssuer.GetOpenIdTokenForDeveloperIdentity(ctx, request)
	if i.refuses[request.Logins[tokendtest.DeveloperProviderName].Reveal()] {
		return tokend.Token{}, errDown
	}
	return token, err
}

// modelUser is a user that a cache should contain.
type modelUser struct {
	name  string
	token tokend.Token // the zero token if there is none
}

func TestCacheMatchesModel(t *testing.T) {
	const users, bound = 9, 5
	issuer := &choosyIssuer{refuses: map[string]bool{"user7": true, "user8": true}}
	clock := newClock()
	cache := newCache(t, issuer, tokend.WithMaxUsers(bound), tokend.WithClock(clock.Now))
	random := rand.New(rand.NewPCG(1, 2))
	var model []modelUser // the least recently used first
	for range 5000 {
		clock.advance(time.Millisecond)
		name := fmt.Sprint("user", random.IntN(users))
		at := slices.IndexFunc(model, func(u modelUser) bool { return u.name == name })
		if at >= 0 && random.IntN(4) == 0 {
			cache.Invalidate(request(name), model[at].token)
			model[at].token = tokend.Token{}
			continue
		}
		hit := at >= 0 && model[at].token.IdentityID != ""
		calls := issuer.calls()
		token, err := cache.Token(t.Context(), request(name))
		if refused := issuer.refuses[name]; refused != (err != nil) {
			t.Fatalf("%s: error %v", name, err)
		}
		if got := issuer.calls() == calls; got != hit && !issuer.refuses[name] {
			t.Fatalf("%s: hit: %v, want %v", name, got, hit)
		}
		switch {
		case at >= 0:
			model = slices.Delete(model, at, at+1)
		case len(model) == bound:
			out := max(slices.IndexFunc(model, func(u modelUser) bool { return u.token.IdentityID == "" }), 0)
			model = slices.Delete(model, out, out+1)
		}
		model = append(model, modelUser{name, token})
	}
}

func TestUserWithExpiredTokenAfterFailedRefreshIsEvictedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := &choosyIssuer{}
		cache := newCache(t, issuer, tokend.WithMaxUsers(2))
		wantToken(t, cache.Source(request("alice")), "1")
		wantToken(t, cache.Source(request("bob")), "2")
		time.Sleep(life)
		wantToken(t, cache.Source(request("alice")), "3")
		time.Sleep(time.Second)
		issuer.refuses = map[string]bool{"bob": true}
		wantError(t, cache.Source(request("bob")), errDown) // who now is the last one used
		time.Sleep(time.Second)
		wantToken(t, cache.Source(request("carol")), "5")
		wantToken(t, cache.Source(request("alice")), "3")
	})
}

func TestUserEvictedDuringRefreshReturnsWithToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := &scriptedIssuer{}
		cache := newCache(t, issuer, tokend.WithMaxUsers(3))
		wantToken(t, cache.Source(request("alice")), "1")
		wantToken(t, cache.Source(request("bob")), "2")
		carols, daves := make(chan struct{}), make(chan struct{})
		var waiting sync.WaitGroup
		ask := func(user, want string, until chan struct{}) {
			time.Sleep(time.Second)
			issuer.set(held(until))
			waiting.Go(func() { wantToken(t, cache.Source(request(user)), want) })
			synctest.Wait()
		}
		ask("carol", "3", carols)
		ask("dave", "4", daves) // carol makes room
		close(carols)           // carol is back, dave makes room
		synctest.Wait()
		for user, want := range map[string]string{"alice": "1", "bob": "2", "carol": "3"} {
			wantToken(t, cache.Source(request(user)), want)
		}
		close(daves) // dave is back, one of the others makes room
		waiting.Wait()
		wantToken(t, cache.Source(request("dave")), "4")
		if issuer.calls() != 4 {
			t.Errorf("%d calls, want 4", issuer.calls())
		}
	})
}

func TestSourceOfEvictedUserReturnsUserToCache(t *testing.T) {
	issuer := &scriptedIssuer{}
	cache := newCache(t, issuer, tokend.WithMaxUsers(1))
	alice, bob := cache.Source(request("alice")), cache.Source(request("bob"))
	wantToken(t, alice, "1")
	wantToken(t, bob, "2")
	wantToken(t, alice, "3")
	wantToken(t, alice, "3")
	wantToken(t, cache.Source(request("alice")), "3")
}

func TestEvictionDoesNotFailWaitingCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := &scriptedIssuer{}
		release := make(chan struct{})
		issuer.set(held(release))
		cache := newCache(t, issuer, tokend.WithMaxUsers(1))
		var waiting sync.WaitGroup
		waiting.Go(func() { wantToken(t, cache.Source(request("alice")), "1") })
		synctest.Wait()
		waiting.Go(func() { wantToken(t, cache.Source(request("bob")), "2") })
		synctest.Wait()
		close(release)
		waiting.Wait()
	})
}

func TestClosedCacheReturnsErrClosedAndWakesCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := &scriptedIssuer{}
		cache := newCache(t, issuer)
		warm := cache.Source(request("alice"))
		wantToken(t, warm, "1")
		issuer.set(held(nil))
		var waiting sync.WaitGroup
		waiting.Go(func() { wantError(t, cache.Source(request("bob")), tokend.ErrClosed) })
		synctest.Wait()
		begin := time.Now()
		_ = cache.Close()
		waiting.Wait()
		if waited := time.Since(begin); waited != 0 {
			t.Errorf("they waited %v more", waited)
		}
		wantError(t, warm, tokend.ErrClosed)
		wantError(t, cache.Source(request("carol")), tokend.ErrClosed)
		_ = cache.Close()
	})
}

func TestCloseOfCacheEndsBackgroundRefreshes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := &scriptedIssuer{}
		cache := newCache(t, issuer)
		source := cache.Source(request("alice"))
		wantToken(t, source, "1")
		ended := false
		issuer.set(func(ctx context.Context) error { <-ctx.Done(); ended = true; return ctx.Err() })
		time.Sleep(untilStale)
		wantToken(t, source, "1")
		synctest.Wait()
		_ = cache.Close()
		if !ended {
			t.Error("Close returned before the refresh ended")
		}
	})
}

func TestCloseOfCacheWaitsForRefreshOfEvictedUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := &scriptedIssuer{}
		cache := newCache(t, issuer, tokend.WithMaxUsers(1))
		release, ended := make(chan struct{}), false
		issuer.set(func(ctx context.Context) error { <-ctx.Done(); <-release; ended = true; return ctx.Err() })
		var working sync.WaitGroup
		working.Go(func() { wantError(t, cache.Source(request("alice")), tokend.ErrClosed) })
		synctest.Wait()
		issuer.set(nil)
		wantToken(t, cache.Source(request("bob")), "2") // alice makes room
		working.Go(func() {
			_ = cache.Close()
			if !ended {
				t.Error("Close returned before the refresh ended")
			}
		})
		synctest.Wait()
		close(release)
		working.Wait()
	})
}

func TestTokenMayBeInvalidatedDuringClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := &scriptedIssuer{}
		cache := newCache(t, issuer)
		release := make(chan struct{})
		issuer.set(func(ctx context.Context) error { <-ctx.Done(); <-release; return ctx.Err() })
		var working sync.WaitGroup
		working.Go(func() { wantError(t, cache.Source(request("alice")), tokend.ErrClosed) })
		synctest.Wait()
		issuer.set(nil)
		bob := cache.Source(request("bob"))
		wantToken(t, bob, "2")
		working.Go(func() { _ = cache.Close() })
		synctest.Wait()         // it waits for alice's refresh before it comes to bob
		tokend.Reject(bob, "2") // by a caller who has found bob in the cache before it closed
		close(release)
		working.Wait()
		wantError(t, bob, tokend.ErrClosed)
	})
}

func TestConcurrentRequestsForManyUsersReturnTokens(t *testing.T) {
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
