package tokend

import (
	"container/heap"
	"context"
	"sync"
	"sync/atomic"
)

// Cache keeps the tokens of many users at hand, each by the caching policy of tokend's clients. When it is full, the
// user who was not asked for the longest makes room.
type Cache struct {
	issuer   Issuer
	settings *sourceSettings
	lifetime context.Context
	end      context.CancelFunc

	entries sync.Map // key to *entry

	mu    sync.Mutex // guards changes of entries
	byUse useHeap
}

// NewCache makes a cache. It calls the issuer when it is first asked for a user. Close it when it is not needed any
// more.
func NewCache(issuer Issuer, opts ...SourceOption) *Cache {
	lifetime, end := context.WithCancel(context.Background())
	return &Cache{issuer: issuer, settings: newSourceSettings(opts), lifetime: lifetime, end: end}
}

// Token returns a token for what the request names, as [Source.Token] does. Every field of the request counts: requests
// share a token when they are equal.
func (c *Cache) Token(ctx context.Context, request TokenRequest) (Token, error) {
	found, err := c.entry(request.key(), request.clone)
	if err != nil {
		return Token{}, err
	}
	return c.ask(ctx, found)
}

// Source returns the source of what the request names. It is the cheaper way to ask for one user again and again, and
// it holds no place in the cache: a user who made room comes back when the source is asked.
func (c *Cache) Source(request TokenRequest) TokenSource {
	return &cachedSource{cache: c, key: request.key(), request: request.clone()}
}

// Close ends all refreshes and wakes those who wait for them. From then on Token answers [ErrClosed].
func (c *Cache) Close() error {
	c.mu.Lock()
	c.end()
	entries := c.byUse
	c.byUse = nil
	c.entries.Clear()
	c.mu.Unlock()
	for _, entry := range entries {
		entry.evicted.Store(true)
		_ = entry.source.Close() // it has nothing to fail with
	}
	return nil
}

func (c *Cache) ask(ctx context.Context, found *entry) (Token, error) {
	now := c.settings.now()
	found.touch(now.UnixMilli())
	return found.source.tokenAt(ctx, now)
}

// entry finds the entry of a user, or makes it.
func (c *Cache) entry(key key, request func() TokenRequest) (*entry, error) {
	if found, ok := c.entries.Load(key); ok {
		return found.(*entry), nil
	}
	return c.admit(key, request())
}

// admit makes the entry of a user, unless it has been made meanwhile.
func (c *Cache) admit(key key, request TokenRequest) (*entry, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lifetime.Err() != nil {
		return nil, ErrClosed
	}
	if found, ok := c.entries.Load(key); ok {
		return found.(*entry), nil
	}
	if len(c.byUse) >= c.settings.maxUsers {
		evicted := c.byUse.leastRecent()
		evicted.evicted.Store(true)
		c.entries.Delete(evicted.key)
	}
	made := c.newEntry(key, request)
	heap.Push(&c.byUse, made)
	c.entries.Store(key, made)
	return made, nil
}

func (c *Cache) newEntry(key key, request TokenRequest) *entry {
	// The lifetime is the cache's own: a user who makes room fails no caller who waits.
	source := &Source{issuer: c.issuer, request: request, settings: c.settings, lifetime: c.lifetime, end: c.end}
	made := &entry{key: key, source: source, placed: c.settings.now().UnixMilli()}
	made.used.Store(made.placed)
	return made
}

// cachedSource is one user's source of a cache. It remembers the entry, so that most calls look nothing up.
type cachedSource struct {
	cache   *Cache
	key     key
	request TokenRequest
	entry   atomic.Pointer[entry]
}

func (s *cachedSource) Token(ctx context.Context) (Token, error) {
	found := s.entry.Load()
	if found == nil || found.evicted.Load() {
		var err error
		if found, err = s.cache.entry(s.key, s.request.clone); err != nil {
			return Token{}, err
		}
		s.entry.Store(found)
	}
	return s.cache.ask(ctx, found)
}
