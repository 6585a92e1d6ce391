package tokend.client;

import io.grpc.Status;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;

/**
 * All that a source knows at a time. It never changes; what happens leads to another one.
 *
 * @param holding the last token that arrived
 * @param refresh ends as the refresh that runs does; null while none runs
 * @param failures how many refreshes have failed since the last one that did not
 * @param retryAt no refresh starts before, in milliseconds since the epoch
 * @param failure why no refresh may start before {@code retryAt}, or why none ever will
 * @param closed whether the source is closed
 */
record SourceState(
    @Nullable Holding holding,
    @Nullable CompletableFuture<TokenSnapshot> refresh,
    int failures,
    long retryAt,
    @Nullable TokendException failure,
    boolean closed) {

  static final SourceState EMPTY = new SourceState(null, null, 0, Long.MIN_VALUE, null, false);

  static SourceState closedState() {
    return new SourceState(null, null, 0, Long.MAX_VALUE, closedFailure(), true);
  }

  static TokendException closedFailure() {
    return TokendException.local(Status.Code.CANCELLED, "the token source is closed", null);
  }

  boolean mayStartRefresh(long now) {
    return refresh == null && now >= retryAt && !closed && (holding == null || !holding.isFresh(now));
  }

  SourceState refreshing(CompletableFuture<TokenSnapshot> started) {
    return new SourceState(holding, started, failures, retryAt, failure, false);
  }

  SourceState refreshed(Holding arrived) {
    return closed ? this : new SourceState(arrived, null, 0, Long.MIN_VALUE, null, false);
  }

  SourceState failed(TokendException why, long nextRetryAt) {
    return closed ? this : new SourceState(holding, null, failures + 1, nextRetryAt, why, false);
  }

  /** What a caller is given who comes now: something that has ended already, but for one who must wait. */
  CompletableFuture<TokenSnapshot> answer(long now) {
    if (holding != null && !holding.isExpired(now)) {
      return CompletableFuture.completedFuture(holding.snapshot());
    }
    if (refresh != null) {
      return refresh;
    }
    if (failure != null) {
      return CompletableFuture.failedFuture(failure);
    }
    throw new IllegalStateException("a refresh must have been started");
  }
}
