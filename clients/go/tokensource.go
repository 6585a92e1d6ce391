package tokend

import (
	"context"
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

// TokenSource returns tokens of one user. Implementations must be safe for concurrent use.
//
// Token may wait for a token, at most until ctx is done.
type TokenSource interface {
	Token(ctx context.Context) (Token, error)
}

// Invalidator is implemented by a [TokenSource] that can drop a token after another service has rejected it, such as
// [CachedTokenSource] and the sources of a [TokenCache].
type Invalidator interface {
	Invalidate(token Token)
}

// Issuer issues the tokens of sources and caches. It is a [Client] or a wrapper of one.
//
// For each user, one goroutine at a time calls it. It must return when ctx is done. At most 32 refreshes run at a time:
// for a [Client], in all its sources and caches together; for any other Issuer, in each source or cache.
type Issuer interface {
	GetOpenIdTokenForDeveloperIdentity(ctx context.Context, request TokenRequest) (Token, error)
}

// CachedTokenSource caches the token of one user, by the caching policy of tokend's clients.
type CachedTokenSource struct {
	issuer   Issuer
	request  TokenRequest
	settings *sourceSettings
	shared   *sharedState
	lifetime *lifetime

	held atomic.Pointer[snapshot] // nil before the first token, after a rejection, and after Close

	// hasToken is whether there is a token, for the eviction order of a cache: a token that was rejected, or has expired
	// and could not be refreshed, does not count. onHasTokenChanged is called with mu held when hasToken changes; nil
	// outside of a cache.
	hasToken          atomic.Bool
	onHasTokenChanged func(hasToken bool)

	mu      sync.Mutex // never held during a call to tokend, never taken while the token is fresh
	flight  *flight    // the running refresh
	backoff backoff
}

// flight is one refresh. Read token and err only after done is closed.
type flight struct {
	done  chan struct{}
	token Token
	err   error
}

// NewTokenSource creates a source of tokens for the request. It calls the issuer when a token is first requested. Close
// it when it is no longer needed.
func NewTokenSource(issuer Issuer, request TokenRequest, opts ...SourceOption) *CachedTokenSource {
	return &CachedTokenSource{
		issuer: issuer, request: request.clone(), settings: newSourceSettings(opts), shared: sharedStateOf(issuer),
		lifetime: newLifetime(),
	}
}

// clone returns a copy that the caller's later changes do not affect.
func (r TokenRequest) clone() TokenRequest {
	r.Logins, r.PrincipalTags = maps.Clone(r.Logins), maps.Clone(r.PrincipalTags)
	if r.TokenDuration != nil {
		duration := *r.TokenDuration
		r.TokenDuration = &duration
	}
	return r
}

// Token returns the cached token at once while it is usable; after the server's refresh time, it also starts a refresh
// in the background. Without a usable token, it waits for the refresh.
//
// It fails with an [*Error] if that refresh fails, or failed so recently that its back-off has not ended, or if ctx is
// done first; with [ErrClosed] after Close; and with the error of an [Issuer] that is not a [Client].
func (s *CachedTokenSource) Token(ctx context.Context) (Token, error) {
	return s.tokenAt(ctx, s.settings.clock())
}

// Invalidate drops a token that another service has rejected, if it is still the cached one. The next Token then waits
// for a new token.
func (s *CachedTokenSource) Invalidate(token Token) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if held := s.held.Load(); held != nil && held.token.Value.Equal(token.Value) {
		s.held.Store(nil)
		s.setHasToken(false)
	}
}

// setHasToken records whether there is a token. The caller holds the lock.
func (s *CachedTokenSource) setHasToken(hasToken bool) {
	if s.hasToken.Swap(hasToken) != hasToken && s.onHasTokenChanged != nil {
		s.onHasTokenChanged(hasToken)
	}
}

func (s *CachedTokenSource) tokenAt(ctx context.Context, now Reading) (Token, error) {
	held := s.held.Load()
	switch held.state(now) {
	case fresh:
		return held.token, nil
	case stale:
		if s.mu.TryLock() { // the holder of the lock starts the refresh
			_, _ = s.refresh(now)
			s.mu.Unlock()
		}
		s.settings.meters.staleToken()
		return held.token, nil
	default:
		return s.await(ctx, now)
	}
}

// Close cancels a running refresh, wakes the callers that wait for it, and returns when the refresh has ended. After
// Close, Token returns [ErrClosed].
func (s *CachedTokenSource) Close() error {
	s.mu.Lock()
	s.lifetime.end()
	s.held.Store(nil)
	s.mu.Unlock()
	s.lifetime.wait()
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

// refresh returns the running refresh, which it starts if there is none, or the last failure during the back-off. The
// caller holds the lock.
func (s *CachedTokenSource) refresh(now Reading) (*flight, error) {
	held := s.held.Load()
	state := held.state(now)
	switch {
	case s.lifetime.ctx.Err() != nil:
		return nil, ErrClosed
	case s.flight != nil:
		return s.flight, nil
	case state == fresh: // another caller's refresh has ended meanwhile
		return completedFlight(held.token), nil
	case !s.backoff.isOver(now, state == stale, s.shared.successes.Load()):
		return nil, s.backoff.last
	}
	flight := &flight{done: make(chan struct{})}
	if !s.lifetime.start(func() { s.runRefresh(flight) }) {
		return nil, ErrClosed
	}
	s.flight = flight
	return flight, nil
}

func completedFlight(token Token) *flight {
	flight := &flight{done: make(chan struct{}), token: token}
	close(flight.done)
	return flight
}

func (s *CachedTokenSource) runRefresh(flight *flight) {
	sent, token, err := s.fetch()
	arrived := s.settings.clock()
	delay := s.finishRefresh(flight, token, err, arrived)
	defer close(flight.done) // with no lock held, and last: woken callers find the refresh counted and logged
	s.settings.meters.refreshed(flight.err)
	switch {
	case s.lifetime.ctx.Err() != nil:
	case err != nil:
		s.settings.refreshLogger().WarnContext(s.lifetime.ctx, "tokend token refresh failed",
			"identity_pool_id", s.request.IdentityPoolID, "error", err, "next_attempt", arrived.Wall.Add(delay))
	default:
		s.settings.refreshLogger().DebugContext(s.lifetime.ctx, "tokend token refreshed",
			"identity_pool_id", s.request.IdentityPoolID)
		s.shared.compareClocks(s.lifetime.ctx, token, sent, arrived, s.settings.clockLogger())
	}
}

// fetch waits for its turn, calls the issuer, and returns when the call was sent. The timeout begins with the call.
func (s *CachedTokenSource) fetch() (sent Reading, token Token, err error) {
	if !s.shared.acquire(s.lifetime.ctx) {
		return s.settings.clock(), Token{}, ErrClosed
	}
	defer s.shared.release()
	sent = s.settings.clock()
	ctx, cancel := context.WithTimeout(s.lifetime.ctx, s.settings.refreshTimeout)
	defer cancel()
	token, err = s.issuer.GetOpenIdTokenForDeveloperIdentity(ctx, s.request)
	return sent, token, err
}

// finishRefresh ends a refresh: it stores the token or counts the failure. It returns how long no other refresh starts.
func (s *CachedTokenSource) finishRefresh(flight *flight, token Token, err error, now Reading) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.lifetime.ctx.Err() != nil:
		flight.err = ErrClosed
	case err != nil:
		flight.err = err
		s.backoff = s.backoff.after(err, now, s.settings.random(), s.shared.successes.Load())
		if s.held.Load().state(now) == expired {
			s.setHasToken(false)
		}
	default:
		flight.token = token
		s.backoff = backoff{}
		s.held.Store(newSnapshot(token, now, s.settings.skew, s.settings.random()))
		s.setHasToken(true)
		s.shared.successes.Add(1)
	}
	s.flight = nil
	return s.backoff.wait(s.held.Load().state(now) == stale)
}
