package tokend

import (
	"context"
	"sync"
)

// lifetime is the lifetime of a source, or of a cache with all sources that it has created, and of their refreshes.
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

// start runs a refresh in a new goroutine, unless the lifetime has ended, and reports whether it does.
func (l *lifetime) start(refresh func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx.Err() != nil {
		return false
	}
	l.running.Go(refresh)
	return true
}

// end ends the lifetime and cancels the running refreshes.
func (l *lifetime) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cancel()
}

// wait waits until the refreshes that ran at the end have returned.
func (l *lifetime) wait() { l.running.Wait() }
