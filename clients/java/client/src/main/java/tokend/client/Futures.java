package tokend.client;

import io.grpc.Context;
import io.grpc.Contexts;
import io.grpc.Status;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/** Waits for futures. */
final class Futures {
  private Futures() {}

  /**
   * Returns a separate future for one caller, which the caller may complete or cancel. It completes as the shared one
   * does, or when the caller's gRPC context is cancelled or exceeds its deadline.
   */
  static CompletableFuture<Token> forCaller(CompletableFuture<Token> shared) {
    // copy() would wrap the failure.
    CompletableFuture<Token> own = new CompletableFuture<>();
    if (shared.isDone()) {
      shared.whenComplete((token, failure) -> Refreshes.complete(own, token, failure));
      return own;
    }
    Context caller = Context.current();
    Context.CancellationListener listener = context -> own.completeExceptionally(contextFailure(context));
    caller.addListener(listener, Runnable::run);
    own.whenComplete((token, failure) -> caller.removeListener(listener));
    shared.whenComplete((token, failure) -> Refreshes.complete(own, token, failure));
    return own;
  }

  /**
   * Waits for a future that is certain to complete.
   *
   * @throws TokendException its failure, or CANCELLED when the thread is interrupted; the interrupt status is kept
   */
  static <T> T await(CompletableFuture<T> future) {
    try {
      return future.get();
    } catch (ExecutionException e) {
      throw unwrap(e);
    } catch (InterruptedException e) {
      throw interrupted(e);
    }
  }

  /**
   * Waits for a future, at most for the timeout.
   *
   * @throws TokendException its failure, DEADLINE_EXCEEDED, or CANCELLED when the thread is interrupted; the interrupt
   *     status is kept
   */
  static <T> T await(CompletableFuture<T> future, Duration timeout) {
    try {
      return future.get(TimeUnit.NANOSECONDS.convert(timeout), TimeUnit.NANOSECONDS);
    } catch (ExecutionException e) {
      throw unwrap(e);
    } catch (TimeoutException e) {
      throw TokendException.local(Status.Code.DEADLINE_EXCEEDED, "no token within " + timeout, e);
    } catch (InterruptedException e) {
      throw interrupted(e);
    }
  }

  private static TokendException unwrap(ExecutionException e) {
    return Failures.toTokendException(e.getCause() == null ? e : e.getCause()).copy();
  }

  private static TokendException interrupted(InterruptedException e) {
    Thread.currentThread().interrupt();
    return TokendException.cancelledByCaller("the waiting thread was interrupted", e);
  }

  private static TokendException contextFailure(Context caller) {
    Status status = Contexts.statusFromCancelled(caller);
    return status.getCode() == Status.Code.DEADLINE_EXCEEDED
        ? TokendException.local(Status.Code.DEADLINE_EXCEEDED, "no token by the caller's deadline", null)
        : TokendException.cancelledByCaller("the caller's context was cancelled", caller.cancellationCause());
  }
}
