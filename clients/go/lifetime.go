package tokend

import (
	"context"
	"sync"
)

// lifetime is that of a source, or of a cache with all sources that it has made, and of their refreshes.
type lifetime struct {
	ctx    context.Context
	cancel context.CancelFunc

	mu      sync.Mutex // no refresh starts after the end; taken after the lock of a source or a cache
	running sync.WaitGroup
}

func newLifetime() *lifetime {
	ctx, cancel := context.WithCancel(context.Background())
	return &lifetime{ctx: ctx, cancel: cancel}
}

// start runs a refresh in a goroutine of its own, and reports whether it does: not after the end.
func (l *lifetime) start(refresh func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx.Err() != nil {
		return false
	}
	l.running.Go(refresh)
	return true
}

// end cancels the refreshes that run.
func (l *lifetime) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cancel()
}

// await waits until the refreshes have returned that ran at the end.
func (l *lifetime) await() { l.running.Wait() }
