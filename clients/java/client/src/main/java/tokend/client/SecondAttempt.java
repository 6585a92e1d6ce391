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
  private static final long MIN_ATTEMPT = TimeUnit.SECONDS.toNanos(1);
  private static final String UNLINK =
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
    CallOptions callOptions = SpreadingRoundRobin.forOneCall(options);
    Deadline whole = earlier(earlier(after(TimeUnit.NANOSECONDS.convert(most)), options.getDeadline()), Context.current().getDeadline());
    long left = whole.timeRemaining(TimeUnit.NANOSECONDS);
    if (left <= MIN_ATTEMPT || method.getFullMethodName().equals(UNLINK)) {
      return next.newCall(method, callOptions);
    }
    Deadline first = after(Math.max(left / 2, MIN_ATTEMPT));
    return new RepeatableCall<>(
        next.newCall(method, callOptions.withDeadline(first)),
        status -> {
          boolean hasTimedOut = status.getCode() == Status.Code.DEADLINE_EXCEEDED && first.isExpired();
          return hasTimedOut && !whole.isExpired() ? next.newCall(method, callOptions.withDeadline(whole)) : null;
        });
  }

  private Deadline after(long nanos) {
    return Deadline.after(nanos, TimeUnit.NANOSECONDS, ticker);
  }

  private static Deadline earlier(Deadline one, @Nullable Deadline other) {
    return other == null ? one : one.minimum(other);
  }
}
