package tokend

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"tokend.internal/go/tokendv1"
)

const (
	// callTimeout is the timeout in [ServiceConfig].
	callTimeout = 3 * time.Second

	// leastAttempt is how long the first of two attempts takes at the least.
	leastAttempt = time.Second
)

// attemptingTwice ends an attempt that has no answer after half of the call's time, and makes another with the rest,
// which goes to another connection: the first one's server may hang. An unlink is made once, since a second one that
// follows a first that took effect fails.
//
// most is the time of a call whose context has no deadline; zero where that is not known.
func attemptingTwice(most time.Duration) grpc.UnaryClientInterceptor {
	return func(
		ctx context.Context, method string, request, reply any, connection *grpc.ClientConn, invoke grpc.UnaryInvoker,
		opts ...grpc.CallOption,
	) error {
		whole, cancel, first := split(countingAttempts(ctx), most)
		defer cancel()
		if first == 0 || method == tokendv1.DeveloperIdentityService_UnlinkDeveloperIdentity_FullMethodName {
			return invoke(whole, method, request, reply, connection, opts...)
		}
		attempt, end := context.WithTimeout(whole, first)
		err := invoke(attempt, method, request, reply, connection, opts...)
		end()
		if status.Code(err) != codes.DeadlineExceeded || whole.Err() != nil {
			return err
		}
		return invoke(whole, method, request, reply, connection, opts...)
	}
}

// split bounds a call, and tells how long its first attempt may take; zero where there is no time for two.
func split(ctx context.Context, most time.Duration) (whole context.Context, cancel context.CancelFunc, first time.Duration) {
	whole, cancel = ctx, func() {}
	if most > 0 {
		whole, cancel = context.WithTimeout(ctx, most)
	}
	deadline, bounded := whole.Deadline()
	if !bounded {
		return whole, cancel, 0
	}
	left := time.Until(deadline)
	if left <= leastAttempt {
		return whole, cancel, 0
	}
	return whole, cancel, max(left/2, leastAttempt)
}
