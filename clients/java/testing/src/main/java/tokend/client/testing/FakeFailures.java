package tokend.client.testing;

import io.grpc.Context;
import io.grpc.Metadata;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.HashMap;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import tokend.v1.DeveloperIdentityServiceGrpc;

/** Counts calls, and makes them wait or fail as configured by the test. */
final class FakeFailures implements ServerInterceptor {
  private final Map<String, Integer> calls = new HashMap<>();
  private final Queue<Failure> next = new ArrayDeque<>();
  private @Nullable Failure untilRecovery;
  private boolean isPaused;
  private boolean isClosed;

  @Override
  public <Q, R> ServerCall.Listener<Q> interceptCall(
      ServerCall<Q, R> call, Metadata headers, ServerCallHandler<Q, R> handler) {
    String service = call.getMethodDescriptor().getServiceName();
    Failure failure =
        DeveloperIdentityServiceGrpc.SERVICE_NAME.equals(service)
            ? count(String.valueOf(call.getMethodDescriptor().getBareMethodName()))
            : null;
    if (failure == null) {
      return handler.startCall(call, headers);
    }
    if (failure.hangs()) {
      return new ServerCall.Listener<>() {};
    }
    StatusRuntimeException thrown = failure.toException();
    Metadata trailers = Status.trailersFromThrowable(thrown);
    call.close(thrown.getStatus(), trailers == null ? new Metadata() : trailers);
    return new ServerCall.Listener<>() {};
  }

  /** Counts a call, waits while calls are paused, and returns the call's failure or null. */
  synchronized @Nullable Failure count(String operation) {
    calls.merge(operation, 1, Integer::sum);
    notifyAll();
    while (isPaused && !isClosed) {
      try {
        wait();
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
        return Failure.of(Status.Code.CANCELLED);
      }
    }
    if (Context.current().isCancelled()) {
      return Failure.of(Status.Code.CANCELLED); // the caller has disconnected: leave the failure for the next call
    }
    Failure once = next.poll();
    return once != null ? once : untilRecovery;
  }

  synchronized int calls(String operation) {
    return calls.getOrDefault(operation, 0);
  }

  synchronized void waitForCalls(String operation, int count, Duration timeout) throws InterruptedException {
    long end = System.nanoTime() + timeout.toNanos();
    while (calls(operation) < count) {
      long left = end - System.nanoTime();
      if (left <= 0) {
        throw new AssertionError(calls(operation) + " of " + count + " calls of " + operation + " came in " + timeout);
      }
      TimeUnit.NANOSECONDS.timedWait(this, left);
    }
  }

  synchronized void pause() {
    isPaused = true;
  }

  synchronized void resume() {
    isPaused = false;
    notifyAll();
  }

  synchronized void close() {
    isClosed = true;
    notifyAll();
  }

  synchronized void fail(Failure failure) {
    untilRecovery = failure;
  }

  synchronized void failNext(Failure failure) {
    next.add(failure);
  }

  synchronized void recover() {
    untilRecovery = null;
    next.clear();
  }
}
