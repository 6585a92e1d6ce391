package tokend_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"tokend.internal/go"
	"tokend.internal/go/tokendtest"
)

// hanging is a service that does not respond to its first calls. It counts all calls.
type hanging struct {
	first int64
	calls atomic.Int64
}

func (h *hanging) intercept(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	if h.calls.Add(1) > h.first {
		return handle(ctx, request)
	}
	<-ctx.Done()
	return nil, status.FromContextError(ctx.Err()).Err()
}

func TestHangingCallIsRepeatedAfterHalfOfItsTimeoutButAtLeastOneSecond(t *testing.T) {
	for name, c := range map[string]struct {
		timeout, want time.Duration
		config        string
	}{
		"no deadline":                  {0, 1500 * time.Millisecond, tokend.ServiceConfig},
		"a deadline before the config": {2400 * time.Millisecond, 1200 * time.Millisecond, tokend.ServiceConfig},
		"less than a second for half":  {1600 * time.Millisecond, time.Second, tokend.ServiceConfig},
		"a deadline after the config":  {10 * time.Second, 1500 * time.Millisecond, tokend.ServiceConfig},
		"another config":               {10 * time.Second, 5 * time.Second, "{}"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hangs := &hanging{first: 1}
				server := tokendtest.NewServer(tokendtest.WithAlgorithm(tokendtest.ES256), tokendtest.WithInterceptor(hangs.intercept))
				defer server.Close()
				ctx, cancel := context.WithCancel(t.Context())
				if c.timeout > 0 {
					ctx, cancel = context.WithTimeout(t.Context(), c.timeout)
				}
				defer cancel()
				begin := time.Now()
				_, err := server.Client(tokend.WithServiceConfig(c.config)).GetOpenIdTokenForDeveloperIdentity(ctx, request("alice"))
				if err != nil || time.Since(begin) != c.want || hangs.calls.Load() != 2 {
					t.Errorf("error %v after %v and %d attempts, want none after %v and 2", err, time.Since(begin), hangs.calls.Load(), c.want)
				}
			})
		})
	}
}

func TestCallHasAtMostTwoAttemptsWithinItsTimeout(t *testing.T) {
	for name, c := range map[string]struct {
		timeout, want time.Duration
		attempts      int64
	}{
		"three seconds":     {0, 3 * time.Second, 2},
		"a second":          {time.Second, time.Second, 1},
		"less":              {300 * time.Millisecond, 300 * time.Millisecond, 1},
		"a little more":     {1100 * time.Millisecond, 1100 * time.Millisecond, 2},
		"later than config": {time.Minute, 3 * time.Second, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hangs := &hanging{first: 99}
				server := tokendtest.NewServer(tokendtest.WithAlgorithm(tokendtest.ES256), tokendtest.WithInterceptor(hangs.intercept))
				defer server.Close()
				ctx, cancel := context.WithCancel(t.Context())
				if c.timeout > 0 {
					ctx, cancel = context.WithTimeout(t.Context(), c.timeout)
				}
				defer cancel()
				begin := time.Now()
				_, err := server.Client().GetOpenIdTokenForDeveloperIdentity(ctx, request("alice"))
				if !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != c.want || hangs.calls.Load() != c.attempts {
					t.Errorf("error %v after %v and %d attempts", err, time.Since(begin), hangs.calls.Load())
				}
			})
		})
	}
}

func TestHangingUnlinkIsAttemptedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := &hanging{first: 1}
		server := tokendtest.NewServer(tokendtest.WithAlgorithm(tokendtest.ES256), tokendtest.WithInterceptor(hangs.intercept))
		defer server.Close()
		err := server.Client().UnlinkDeveloperIdentity(t.Context(), tokend.UnlinkRequest{})
		if !errors.Is(err, context.DeadlineExceeded) || hangs.calls.Load() != 1 {
			t.Errorf("error %v after %d attempts", err, hangs.calls.Load())
		}
	})
}

func TestCancelledCallIsNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := &hanging{first: 99}
		server := tokendtest.NewServer(tokendtest.WithAlgorithm(tokendtest.ES256), tokendtest.WithInterceptor(hangs.intercept))
		defer server.Close()
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, err := server.Client().GetOpenIdTokenForDeveloperIdentity(ctx, request("alice"))
		if status.Code(err) != codes.Canceled || hangs.calls.Load() != 1 {
			t.Errorf("error %v after %d attempts", err, hangs.calls.Load())
		}
	})
}

func TestInterceptorsOfUserSeeEachCallOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := &hanging{first: 1}
		server := tokendtest.NewServer(tokendtest.WithAlgorithm(tokendtest.ES256), tokendtest.WithInterceptor(hangs.intercept))
		defer server.Close()
		seen := 0
		client := server.Client(tokend.WithDialOptions(grpc.WithChainUnaryInterceptor(func(
			ctx context.Context, method string, request, reply any, connection *grpc.ClientConn, invoke grpc.UnaryInvoker,
			opts ...grpc.CallOption,
		) error {
			seen++
			return invoke(ctx, method, request, reply, connection, opts...)
		})))
		issue(t, client, request("alice"))
		if seen != 1 || hangs.calls.Load() != 2 {
			t.Errorf("%d calls seen of %d attempts", seen, hangs.calls.Load())
		}
	})
}
