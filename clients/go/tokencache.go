package tokend

import (
	"container/heap"
	"context"
	"sync"
	"sync/atomic"
)

// TokenCache caches the tokens of many users, by the caching policy of tokend's clients. When it is full, it evicts a
// user without a token first, then the least recently used one. A user has no token before the first refresh succeeds,
// after the token was rejected, and when the token has expired and could not be refreshed. A user who is evicted during
// a refresh is added again when the refresh returns a token.
type TokenCache struct {
	issuer   Issuer
	settings *sourceSettings
	shared   *sharedState
	lifetime *lifetime

	entries sync.Map // key to *entry

	mu      sync.Mutex // guards changes of entries; taken after that of a CachedTokenSource, never before it
	byUse   useHeap
	created uint64 // how many entries there have been
}

// NewTokenCache creates a cache. It calls the issuer when a user's token is first requested. Close it when it is no
// longer needed.
func NewTokenCache(issuer Issuer, opts ...SourceOption) *TokenCache {
	return &TokenCache{
		issuer: issuer, settings: newSourceSettings(opts), shared: sharedStateOf(issuer), lifetime: newLifetime(),
	}
}

// Token returns a token for the request, as [CachedTokenSource.Token] does. Requests share a token only if all their
// fields are equal.
func (c *TokenCache) Token(ctx context.Context, request TokenRequest) (Token, error) {
	found, err := c.entry(request.key(), request.clone)
	if err != nil {
		return Token{}, err
	}
	return c.entryToken(ctx, found)
}

// Invalidate drops a token of the request that another service has rejected, as [CachedTokenSource.Invalidate] does.
func (c *TokenCache) Invalidate(request TokenRequest, token Token) {
	c.invalidate(request.key(), token)
}

func (c *TokenCache) invalidate(key key, token Token) {
	if found, ok := c.entries.Load(key); ok {
		found.(*entry).source.Invalidate(token)
	}
}

// Source returns a source for the request, which is cheaper than [TokenCache.Token] for repeated calls. It holds no
// place in the cache: an evicted user is added again when the source is next used.
func (c *TokenCache) Source(request TokenRequest) TokenSource {
	return &userSource{cache: c, key: request.key(), request: request.clone()}
}

// Close cancels all refreshes, wakes the callers that wait for them, and returns when the refreshes have ended. After
// Close, Token returns [ErrClosed].
func (c *TokenCache) Close() error {
	c.mu.Lock()
	c.lifetime.end()
	entries := c.byUse
	c.byUse = nil
	c.entries.Clear()
	c.mu.Unlock()
	c.settings.meters.usersChanged(-len(entries))
	for _, entry := range entries {
		entry.evicted.Store(true)
		_ = entry.source.Close() // never fails
	}
	c.lifetime.wait() // evicted users' refreshes, too
	return nil
}

func (c *TokenCache) entryToken(ctx context.Context, found *entry) (Token, error) {
	now := c.settings.clock()
	found.touch(now.Monotonic.Milliseconds())
	return found.source.tokenAt(ctx, now)
}

// entry returns the entry of a user, which it creates if there is none.
func (c *TokenCache) entry(key key, request func() TokenRequest) (*entry, error) {
	if found, ok := c.entries.Load(key); ok {
		return found.(*entry), nil
	}
	return c.createEntry(key, request())
}

// createEntry creates the entry of a user, unless another goroutine has created it meanwhile.
func (c *TokenCache) createEntry(key key, request TokenRequest) (*entry, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lifetime.ctx.Err() != nil {
		return nil, ErrClosed
	}
	if found, ok := c.entries.Load(key); ok {
		return found.(*entry), nil
	}
	created := c.newEntry(key, request)
	c.addEntry(created)
	return created, nil
}

// addEntry adds an entry, and evicts another if the cache is full. The caller holds the lock.
func (c *TokenCache) addEntry(added *entry) {
	if len(c.byUse) >= c.settings.maxUsers {
		evicted := c.byUse.popLeastRecent()
		evicted.evicted.Store(true)
		c.entries.Delete(evicted.key)
		c.settings.meters.evicted()
	}
	heap.Push(&c.byUse, added)
	c.entries.Store(added.key, added)
	added.evicted.Store(false)
	c.settings.meters.usersChanged(1)
}

// hasTokenChanged is called when an entry gets a token, or loses it.
func (c *TokenCache) hasTokenChanged(changed *entry, hasToken bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.lifetime.ctx.Err() != nil: // Close has removed all entries
	case !hasToken:
		c.byUse.markWithoutToken(changed)
	case changed.evicted.Load():
		if _, taken := c.entries.Load(changed.key); !taken {
			changed.lastPlace = changed.place()
			c.addEntry(changed)
		}
	}
}

func (c *TokenCache) newEntry(key key, request TokenRequest) *entry {
	// The lifetime is that of the cache: the eviction of a user does not fail callers that wait for its token.
	source := &CachedTokenSource{
		issuer: c.issuer, request: request, settings: c.settings, shared: c.shared, lifetime: c.lifetime,
	}
	c.created++
	used := c.settings.clock().Monotonic.Milliseconds()
	created := &entry{key: key, source: source, lastPlace: place{used: used, sequence: c.created}, index: -1}
	created.used.Store(used)
	source.onHasTokenChanged = func(hasToken bool) { c.hasTokenChanged(created, hasToken) }
	return created
}

// userSource is the source of one user of a cache. It keeps the entry, so that most calls need no lookup.
type userSource struct {
	cache   *TokenCache
	key     key
	request TokenRequest
	entry   atomic.Pointer[entry]
}

// Invalidate implements [Invalidator].
func (s *userSource) Invalidate(token Token) { s.cache.invalidate(s.key, token) }

func (s *userSource) Token(ctx context.Context) (Token, error) {
	found := s.entry.Load()
	if found == nil || found.evicted.Load() {
		var err error
		if found, err = s.cache.entry(s.key, s.request.clone); err != nil {
			return Token{}, err
		}
		s.entry.Store(found)
	}
	return s.cache.entryToken(ctx, found)
}
