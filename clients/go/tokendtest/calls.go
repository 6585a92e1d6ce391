package tokendtest

import (
	"context"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
)

// Pause makes calls wait until Resume or their own deadlines. Waiting calls are counted.
func (s *Server) Pause() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.paused == nil {
		s.paused = make(chan struct{})
	}
}

// Resume ends Pause: waiting calls continue.
func (s *Server) Resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.paused != nil {
		close(s.paused)
		s.paused = nil
	}
}

// Calls returns how many calls of an operation the server has received, including failed ones. Operations are named as
// in the contract, such as "GetOpenIdTokenForDeveloperIdentity".
func (s *Server) Calls(operation string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[operation]
}

// WaitForCalls waits until the server has received this many calls of an operation since it was started. If ctx is done
// first, it returns the error of ctx.
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

// intercept counts a call, and makes it wait or fail as configured by the test.
func (s *Server) intercept(
	ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler,
) (any, error) {
	_, operation, _ := strings.Cut(strings.TrimPrefix(info.FullMethod, "/"), "/")
	s.countCall(operation)
	failure, err := s.waitWhilePaused(ctx)
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

func (s *Server) countCall(operation string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[operation]++
	close(s.called)
	s.called = make(chan struct{})
}

// waitWhilePaused waits while the server is paused, and returns the failure of this call; nil if it should not fail.
func (s *Server) waitWhilePaused(ctx context.Context) (*Failure, error) {
	for {
		failure, paused := s.nextFailure()
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

// nextFailure returns the failure of the next call, or the channel to wait on if the server is paused, or neither.
func (s *Server) nextFailure() (failure *Failure, paused <-chan struct{}) {
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
