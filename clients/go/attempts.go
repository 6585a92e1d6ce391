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

	// minFirstAttempt is the minimum timeout of the first of two attempts.
	minFirstAttempt = time.Second
)

// secondAttemptInterceptor cancels an attempt that has no response after half of the call's time, and makes a second
// one with the rest of the time on another connection: the first server may hang. An unlink is attempted once, since a
// second attempt fails if the first one has taken effect.
//
// most is the timeout of a call whose context has no deadline; zero if it is not known.
func secondAttemptInterceptor(most time.Duration) grpc.UnaryClientInterceptor {
	return func(
		ctx context.Context, method string, request, reply any, connection *grpc.ClientConn, invoke grpc.UnaryInvoker,
		opts ...grpc.CallOption,
	) error {
		whole, cancel, first := splitTimeout(withAttempts(ctx), most)
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

// splitTimeout sets the deadline of a call and returns the timeout of its first attempt; zero if there is no time for
// two.
func splitTimeout(
	ctx context.Context, most time.Duration,
) (whole context.Context, cancel context.CancelFunc, first time.Duration) {
	whole, cancel = ctx, func() {}
	if most > 0 {
		whole, cancel = context.WithTimeout(ctx, most)
	}
	deadline, bounded := whole.Deadline()
	if !bounded {
		return whole, cancel, 0
	}
	left := time.Until(deadline)
	if left <= minFirstAttempt {
		return whole, cancel, 0
	}
	return whole, cancel, max(left/2, minFirstAttempt)
}
