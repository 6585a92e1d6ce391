package tokend.client;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.Context;
import io.grpc.Deadline;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import tokend.v1.DeveloperIdentityServiceGrpc;

/**
 * Cancels an attempt that has no response after half of the call's time, and makes a second one with the rest of the
 * time on another connection: the first server may hang. An unlink is attempted once, since a second attempt fails if
 * the first one has taken effect.
 */
final class SecondAttempt implements ClientInterceptor {
  private static final long LEAST = TimeUnit.SECONDS.toNanos(1);
  private static final String ONCE =
      DeveloperIdentityServiceGrpc.getUnlinkDeveloperIdentityMethod().getFullMethodName();

  private final Duration most;
  private final Deadline.Ticker ticker;

  /**
   * Creates an interceptor.
   *
   * @param most the maximum time of a call, regardless of its own deadline
   * @param ticker the ticker of the calls' deadlines
   */
  SecondAttempt(Duration most, Deadline.Ticker ticker) {
    this.most = most;
    this.ticker = ticker;
  }

  @Override
  public <Q, R> ClientCall<Q, R> interceptCall(MethodDescriptor<Q, R> method, CallOptions options, Channel next) {
    CallOptions ofOneCall = SpreadingRoundRobin.ofOneCall(options);
    Deadline whole = earlier(earlier(after(TimeUnit.NANOSECONDS.convert(most)), options.getDeadline()), Context.current().getDeadline());
    long left = whole.timeRemaining(TimeUnit.NANOSECONDS);
    if (left <= LEAST || method.getFullMethodName().equals(ONCE)) {
      return next.newCall(method, ofOneCall);
    }
    Deadline first = after(Math.max(left / 2, LEAST));
    return new RepeatableCall<>(
        next.newCall(method, ofOneCall.withDeadline(first)),
        status -> {
          boolean isSpent = status.getCode() == Status.Code.DEADLINE_EXCEEDED && first.isExpired();
          return isSpent && !whole.isExpired() ? next.newCall(method, ofOneCall.withDeadline(whole)) : null;
        });
  }

  private Deadline after(long nanos) {
    return Deadline.after(nanos, TimeUnit.NANOSECONDS, ticker);
  }

  private static Deadline earlier(Deadline one, @Nullable Deadline other) {
    return other == null ? one : one.minimum(other);
  }
}
