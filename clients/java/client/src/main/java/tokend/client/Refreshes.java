package tokend.client;

import java.time.Duration;
import java.time.Instant;
import java.util.ArrayDeque;
import java.util.Queue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * The state that the refreshes of all sources and caches of one client share. At most 32 run at a time; the others are
 * sent in the order of their requests.
 */
final class Refreshes {
  static final int MAX_RUNNING = 32;

  private static final Duration TOLERATED_SKEW = Duration.ofMinutes(1);
  private static final System.Logger LOGGER = System.getLogger("tokend.client");

  private final Telemetry telemetry;
  private final AtomicLong successes = new AtomicLong();
  private final AtomicBoolean warned = new AtomicBoolean();
  private final AtomicInteger startRequests = new AtomicInteger();

  // Guarded by `this`.
  private final Queue<Turn> waiting = new ArrayDeque<>();
  private int running;

  private record Turn(
      Supplier<CompletableFuture<Token>> call, CompletableFuture<Token> result) {}

  Refreshes(Telemetry telemetry) {
    this.telemetry = telemetry;
  }

  Telemetry telemetry() {
    return telemetry;
  }

  /** Returns how many refreshes have succeeded. */
  long successes() {
    return successes.get();
  }

  void succeeded() {
    successes.incrementAndGet();
  }

  /**
   * Starts a call, or queues it.
   *
   * @return the call's result; cancelling it cancels the call, or removes it from the queue
   */
  CompletableFuture<Token> send(Supplier<CompletableFuture<Token>> call) {
    Turn turn = new Turn(call, new CompletableFuture<>());
    if (acquire(turn)) {
      start(turn);
    }
    return turn.result;
  }

  /** Logs one warning if the wall clock and the server's differ by much. The token was issued between the readings. */
  void compareClocks(Token token, long sentMillis, long arrivedMillis) {
    Instant issued = token.issueTime();
    if (issued == null) {
      return;
    }
    Duration behind = Duration.between(Instant.ofEpochMilli(arrivedMillis), issued);
    Duration ahead = Duration.between(issued, Instant.ofEpochMilli(sentMillis));
    boolean areApart = behind.compareTo(TOLERATED_SKEW) > 0 || ahead.compareTo(TOLERATED_SKEW) > 0;
    if (areApart && warned.compareAndSet(false, true)) {
      LOGGER.log(
          System.Logger.Level.WARNING,
          "the clocks of this machine and of tokend differ: issue_time={0} clock={1}",
          issued,
          Instant.ofEpochMilli(arrivedMillis));
    }
  }

  private synchronized boolean acquire(Turn turn) {
    if (running == MAX_RUNNING) {
      waiting.add(turn);
      return false;
    }
    running++;
    return true;
  }

  private void start(Turn turn) {
    CompletableFuture<Token> call = startCall(turn.call);
    call.whenComplete(
        (token, failure) -> {
          release();
          complete(turn.result, token, failure);
        });
    turn.result.whenComplete((token, failure) -> call.cancel(false));
  }

  private static CompletableFuture<Token> startCall(Supplier<CompletableFuture<Token>> call) {
    try {
      return call.get();
    } catch (Throwable failure) {
      // Waiting callers must get any error, and the next refresh must be able to start.
      return CompletableFuture.failedFuture(failure);
    }
  }

  private void release() {
    synchronized (this) {
      running--;
    }
    // A loop instead of recursion: many calls in a row may fail at once.
    if (startRequests.getAndIncrement() != 0) {
      return;
    }
    int seen = 1;
    while (seen != 0) {
      for (Turn next = next(); next != null; next = next()) {
        start(next);
      }
      seen = startRequests.addAndGet(-seen);
    }
  }

  private synchronized @Nullable Turn next() {
    while (running < MAX_RUNNING) {
      Turn turn = waiting.poll();
      if (turn == null) {
        return null;
      }
      if (!turn.result.isDone()) {
        running++;
        return turn;
      }
    }
    return null;
  }

  static void complete(
      CompletableFuture<Token> future, @Nullable Token token, @Nullable Throwable failure) {
    if (failure != null) {
      future.completeExceptionally(failure);
    } else if (token != null) {
      future.complete(token);
    }
  }
}
