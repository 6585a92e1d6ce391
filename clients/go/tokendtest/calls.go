package tokendtest

import (
	"context"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
)

// Pause lets calls wait from now on, until Resume or their own deadlines. They count at once.
func (s *Server) Pause() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.paused == nil {
		s.paused = make(chan struct{})
	}
}

// Resume lets the calls go on that wait, and those to come.
func (s *Server) Resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.paused != nil {
		close(s.paused)
		s.paused = nil
	}
}

// Calls tells how many calls of an operation have come, those included that failed. The operation is named as in the
// contract, such as "GetOpenIdTokenForDeveloperIdentity".
func (s *Server) Calls(operation string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[operation]
}

// WaitForCalls waits until so many calls of an operation have come since the server was made. It returns the error of a
// context that ends before.
func (s *Server) WaitForCalls(ctx context.Context, operation string, calls int) error {
	for {
		s.mu.Lock()
		have, more := s.calls[operation], s.called
		s.mu.Unlock()
		if have >= calls {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// intercept counts a call, lets it wait, and fails it as the test has set.
func (s *Server) intercept(
	ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler,
) (any, error) {
	_, operation, _ := strings.Cut(strings.TrimPrefix(info.FullMethod, "/"), "/")
	s.count(operation)
	failure, err := s.pass(ctx)
	switch {
	case err != nil:
		return nil, err
	case failure == nil:
		return handle(ctx, request)
	case failure.Hang:
		<-ctx.Done()
		return nil, status.FromContextError(ctx.Err()).Err()
	default:
		return nil, failure.Err()
	}
}

func (s *Server) count(operation string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[operation]++
	close(s.called)
	s.called = make(chan struct{})
}

// pass waits while calls have to, and returns how this one is to fail; nil if it is not.
func (s *Server) pass(ctx context.Context) (*Failure, error) {
	for {
		failure, paused := s.next()
		if paused == nil {
			return failure, nil
		}
		select {
		case <-paused:
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		}
	}
}

// next is what happens to the next call: it has to wait, or it fails, or neither.
func (s *Server) next() (failure *Failure, paused <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.paused != nil {
		return nil, s.paused
	}
	if len(s.failNext) > 0 {
		next := s.failNext[0]
		s.failNext = s.failNext[1:]
		return &next, nil
	}
	return s.failing, nil
}
