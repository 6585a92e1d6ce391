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

// Issuer is what sources and caches get their tokens from: a [Client], or what wraps one.
//
// It is called by one goroutine at a time for each user, and has to return when ctx is done.
type Issuer interface {
	GetOpenIdTokenForDeveloperIdentity(ctx context.Context, request TokenRequest) (Token, error)
}

// Source keeps the token of one user at hand, by the caching policy of tokend's clients.
type Source struct {
	issuer   Issuer
	request  TokenRequest
	settings *sourceSettings
	lifetime context.Context
	end      context.CancelFunc
	running  sync.WaitGroup

	held atomic.Pointer[snapshot] // nil before the first token and after Close

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

// NewSource makes a source of tokens for what the request names. It calls the issuer when it is first asked.
// Close it when it is not needed any more.
func NewSource(issuer Issuer, request TokenRequest, opts ...SourceOption) *Source {
	lifetime, end := context.WithCancel(context.Background())
	settings := newSourceSettings(opts)
	return &Source{issuer: issuer, request: request.clone(), settings: settings, lifetime: lifetime, end: end}
}

// clone makes a request that the caller's later changes do not reach.
func (r TokenRequest) clone() TokenRequest {
	r.Logins, r.PrincipalTags = maps.Clone(r.Logins), maps.Clone(r.PrincipalTags)
	if r.TokenDuration != nil {
		r.TokenDuration = new(*r.TokenDuration)
	}
	return r
}

// Token returns the token at hand while it is usable, at once; when the server's refresh time has come, a refresh runs
// in the background meanwhile. Without a usable token it waits for the refresh.
//
// It fails with an [*Error] when that refresh failed, or failed a moment ago, or ctx was done first; with [ErrClosed]
// after Close; and with what an [Issuer] other than a [Client] fails with.
func (s *Source) Token(ctx context.Context) (Token, error) {
	return s.tokenAt(ctx, s.settings.now())
}

func (s *Source) tokenAt(ctx context.Context, now time.Time) (Token, error) {
	held := s.held.Load()
	switch held.state(now) {
	case fresh:
		return held.token, nil
	case stale:
		if s.mu.TryLock() { // who holds it sees to the refresh
			_, _ = s.refresh(now)
			s.mu.Unlock()
		}
		return held.token, nil
	default:
		return s.await(ctx, now)
	}
}

// Close ends a refresh that runs and wakes those who wait for it. From then on Token answers [ErrClosed].
func (s *Source) Close() error {
	s.mu.Lock()
	s.end()
	s.held.Store(nil)
	s.mu.Unlock()
	s.running.Wait()
	return nil
}

func (s *Source) await(ctx context.Context, now time.Time) (Token, error) {
	s.mu.Lock()
	flight, err := s.refresh(now)
	s.mu.Unlock()
	if err != nil {
		return Token{}, err
	}
	select {
	case <-flight.done:
		return flight.token, flight.err
	case <-s.lifetime.Done():
		return Token{}, ErrClosed
	case <-ctx.Done():
		return Token{}, newContextError(ctx)
	}
}

// refresh returns the refresh that runs, which it starts if it must, or the last failure where none may start.
// The caller holds the lock.
func (s *Source) refresh(now time.Time) (*flight, error) {
	held := s.held.Load()
	switch {
	case s.lifetime.Err() != nil:
		return nil, ErrClosed
	case s.flight != nil:
		return s.flight, nil
	case held.state(now) == fresh: // it came while this caller was on its way here
		return landed(held.token), nil
	case now.Before(s.backoff.until):
		return nil, s.backoff.last
	}
	flight := &flight{done: make(chan struct{})}
	s.flight = flight
	s.running.Go(func() { s.fly(flight) })
	return flight, nil
}

func landed(token Token) *flight {
	flight := &flight{done: make(chan struct{}), token: token}
	close(flight.done)
	return flight
}

func (s *Source) fly(flight *flight) {
	ctx, cancel := context.WithTimeout(s.lifetime, s.settings.refreshTimeout)
	defer cancel()
	token, err := s.issuer.GetOpenIdTokenForDeveloperIdentity(ctx, s.request)
	next := s.land(flight, token, err)
	s.log(ctx, err, next)
}

// land ends a refresh: it keeps the token or counts the failure, and wakes those who wait.
// It returns the time before which no other refresh starts.
func (s *Source) land(flight *flight, token Token, err error) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.settings.now()
	switch {
	case s.lifetime.Err() != nil:
		flight.err = ErrClosed
	case err != nil:
		flight.err = err
		s.backoff = s.backoff.after(err, now, s.settings.random())
	default:
		flight.token = token
		s.backoff = backoff{}
		s.held.Store(newSnapshot(token, now, s.settings.skew, s.settings.random()))
	}
	s.flight = nil
	close(flight.done)
	return s.backoff.until
}

func (s *Source) log(ctx context.Context, err error, next time.Time) {
	switch {
	case s.lifetime.Err() != nil:
	case err != nil:
		s.settings.logger.WarnContext(ctx, "tokend token refresh failed",
			"identity_pool_id", s.request.IdentityPoolID, "error", err, "next_attempt", next)
	default:
		s.settings.logger.DebugContext(ctx, "tokend token refreshed", "identity_pool_id", s.request.IdentityPoolID)
	}
}
