package tokend

import (
	"context"
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

// TokenSource hands out tokens of one user. Implementations are safe for concurrent use.
//
// Token waits, if it must, until ctx is done at the longest.
type TokenSource interface {
	Token(ctx context.Context) (Token, error)
}

// Invalidator is a [TokenSource] that drops a token which another service has rejected, as [CachedTokenSource] and those
// of a [TokenCache] do.
type Invalidator interface {
	Invalidate(token Token)
}

// Issuer is what sources and caches get their tokens from: a [Client], or what wraps one.
//
// It is called by one goroutine at a time for each user, and has to return when ctx is done. A [Client] has 32 refreshes
// under way at a time, whatever sources and caches they belong to; of any other Issuer, each source or cache has as many.
type Issuer interface {
	GetOpenIdTokenForDeveloperIdentity(ctx context.Context, request TokenRequest) (Token, error)
}

// CachedTokenSource keeps the token of one user at hand, by the caching policy of tokend's clients.
type CachedTokenSource struct {
	issuer   Issuer
	request  TokenRequest
	settings *sourceSettings
	traffic  *traffic
	lifetime *lifetime

	held atomic.Pointer[snapshot] // nil before the first token, when it was rejected, and after Close

	// served is whether there is a token, as making room in a cache goes: one that was rejected, or has expired and could
	// not be refreshed, is none. watch is called when that changes, with mu held; nil outside of a cache.
	served atomic.Bool
	watch  func(served bool)

	mu      sync.Mutex // never held while tokend is called, nor taken while the token is fresh
	flight  *flight    // the refresh that runs
	backoff backoff
}

// flight is one refresh; token and err may be read when done is closed.
type flight struct {
	done  chan struct{}
	token Token
	err   error
}

// NewTokenSource makes a source of tokens for what the request names. It calls the issuer when it is first asked.
// Close it when it is not needed any more.
func NewTokenSource(issuer Issuer, request TokenRequest, opts ...SourceOption) *CachedTokenSource {
	return &CachedTokenSource{
		issuer: issuer, request: request.clone(), settings: newSourceSettings(opts), traffic: trafficOf(issuer),
		lifetime: newLifetime(),
	}
}

// clone makes a request that the caller's later changes do not reach.
func (r TokenRequest) clone() TokenRequest {
	r.Logins, r.PrincipalTags = maps.Clone(r.Logins), maps.Clone(r.PrincipalTags)
	if r.TokenDuration != nil {
		duration := *r.TokenDuration
		r.TokenDuration = &duration
	}
	return r
}

// Token returns the token at hand while it is usable, at once; when the server's refresh time has come, a refresh runs
// in the background meanwhile. Without a usable token it waits for the refresh.
//
// It fails with an [*Error] when that refresh failed, or failed a moment ago, or ctx was done first; with [ErrClosed]
// after Close; and with what an [Issuer] other than a [Client] fails with.
func (s *CachedTokenSource) Token(ctx context.Context) (Token, error) {
	return s.tokenAt(ctx, s.settings.clock())
}

// Invalidate tells the source that another service has rejected a token. If it is still the one that is held, it is
// dropped, and the next Token waits for another.
func (s *CachedTokenSource) Invalidate(token Token) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if held := s.held.Load(); held != nil && held.token.Value.Equal(token.Value) {
		s.held.Store(nil)
		s.note(false)
	}
}

// note keeps whether there is a token. The caller holds the lock.
func (s *CachedTokenSource) note(served bool) {
	if s.served.Swap(served) != served && s.watch != nil {
		s.watch(served)
	}
}

func (s *CachedTokenSource) tokenAt(ctx context.Context, now Reading) (Token, error) {
	held := s.held.Load()
	switch held.state(now) {
	case fresh:
		return held.token, nil
	case stale:
		if s.mu.TryLock() { // who holds it sees to the refresh
			_, _ = s.refresh(now)
			s.mu.Unlock()
		}
		s.settings.meters.staleToken()
		return held.token, nil
	default:
		return s.await(ctx, now)
	}
}

// Close ends a refresh that runs, wakes those who wait for it, and returns when the refresh has. From then on Token
// answers [ErrClosed].
func (s *CachedTokenSource) Close() error {
	s.mu.Lock()
	s.lifetime.end()
	s.held.Store(nil)
	s.mu.Unlock()
	s.lifetime.await()
	return nil
}

func (s *CachedTokenSource) await(ctx context.Context, now Reading) (Token, error) {
	s.mu.Lock()
	flight, err := s.refresh(now)
	s.mu.Unlock()
	if err != nil {
		return Token{}, err
	}
	select {
	case <-flight.done:
		return flight.token, flight.err
	case <-s.lifetime.ctx.Done():
		return Token{}, ErrClosed
	case <-ctx.Done():
		return Token{}, newContextError(ctx)
	}
}

// refresh returns the refresh that runs, which it starts if it must, or the last failure where none may start.
// The caller holds the lock.
func (s *CachedTokenSource) refresh(now Reading) (*flight, error) {
	held := s.held.Load()
	state := held.state(now)
	switch {
	case s.lifetime.ctx.Err() != nil:
		return nil, ErrClosed
	case s.flight != nil:
		return s.flight, nil
	case state == fresh: // it came while this caller was on its way here
		return landed(held.token), nil
	case !s.backoff.isOver(now, state == stale, s.traffic.successes.Load()):
		return nil, s.backoff.last
	}
	flight := &flight{done: make(chan struct{})}
	if !s.lifetime.start(func() { s.fly(flight) }) {
		return nil, ErrClosed
	}
	s.flight = flight
	return flight, nil
}

func landed(token Token) *flight {
	flight := &flight{done: make(chan struct{}), token: token}
	close(flight.done)
	return flight
}

func (s *CachedTokenSource) fly(flight *flight) {
	sent, token, err := s.fetch()
	arrived := s.settings.clock()
	delay := s.land(flight, token, err, arrived)
	defer close(flight.done) // with no lock held, and last: who is woken finds the refresh counted and logged
	s.settings.meters.refreshed(flight.err)
	switch {
	case s.lifetime.ctx.Err() != nil:
	case err != nil:
		s.settings.refreshLogger().WarnContext(s.lifetime.ctx, "tokend token refresh failed",
			"identity_pool_id", s.request.IdentityPoolID, "error", err, "next_attempt", arrived.Wall.Add(delay))
	default:
		s.settings.refreshLogger().DebugContext(s.lifetime.ctx, "tokend token refreshed",
			"identity_pool_id", s.request.IdentityPoolID)
		s.traffic.compare(s.lifetime.ctx, token, sent, arrived, s.settings.clockLogger())
	}
}

// fetch calls the issuer in its turn, and tells when the call was sent: only then does its time begin.
func (s *CachedTokenSource) fetch() (sent Reading, token Token, err error) {
	if !s.traffic.enter(s.lifetime.ctx) {
		return s.settings.clock(), Token{}, ErrClosed
	}
	defer s.traffic.leave()
	sent = s.settings.clock()
	ctx, cancel := context.WithTimeout(s.lifetime.ctx, s.settings.refreshTimeout)
	defer cancel()
	token, err = s.issuer.GetOpenIdTokenForDeveloperIdentity(ctx, s.request)
	return sent, token, err
}

// land ends a refresh: it keeps the token or counts the failure. It returns how long no other refresh starts.
func (s *CachedTokenSource) land(flight *flight, token Token, err error, now Reading) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.lifetime.ctx.Err() != nil:
		flight.err = ErrClosed
	case err != nil:
		flight.err = err
		s.backoff = s.backoff.after(err, now, s.settings.random(), s.traffic.successes.Load())
		if s.held.Load().state(now) == expired {
			s.note(false)
		}
	default:
		flight.token = token
		s.backoff = backoff{}
		s.held.Store(newSnapshot(token, now, s.settings.skew, s.settings.random()))
		s.note(true)
		s.traffic.successes.Add(1)
	}
	s.flight = nil
	return s.backoff.wait(s.held.Load().state(now) == stale)
}
