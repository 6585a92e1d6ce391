package tokend.client;

import io.grpc.Status;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;

/**
 * The state of a source. Immutable: each event creates a new state.
 *
 * @param holding the last token that arrived, unless it was invalidated
 * @param refresh the running refresh, or null
 * @param backoff when the next refresh may start
 * @param closed whether the source is closed
 */
record SourceState(
    @Nullable Holding holding,
    @Nullable CompletableFuture<Token> refresh,
    Backoff backoff,
    boolean closed) {

  static final SourceState EMPTY = new SourceState(null, null, Backoff.NONE, false);

  static final SourceState CLOSED = new SourceState(null, null, Backoff.NONE, true);

  static TokendException closedFailure() {
    return TokendException.local(Status.Code.CANCELLED, "the token source is closed", null);
  }

  boolean mayStartRefresh(Reading now, long successes) {
    return refresh == null
        && !closed
        && (holding == null || !holding.isFresh(now))
        && backoff.isOver(now, hasUsable(now), successes);
  }

  SourceState refreshing(CompletableFuture<Token> started) {
    return new SourceState(holding, started, backoff, false);
  }

  SourceState refreshed(Holding arrived) {
    return closed ? this : new SourceState(arrived, null, Backoff.NONE, false);
  }

  SourceState failed(Backoff next) {
    return closed ? this : new SourceState(holding, null, next, false);
  }

  SourceState invalidated(String token) {
    boolean isHeld = holding != null && holding.token().value().equals(token);
    return isHeld ? new SourceState(null, refresh, backoff, closed) : this;
  }

  /** Returns the future for a caller. It is complete unless the caller must wait. */
  CompletableFuture<Token> answer(Reading now) {
    if (closed) {
      return CompletableFuture.failedFuture(closedFailure());
    }
    if (holding != null && hasUsable(now)) {
      return CompletableFuture.completedFuture(holding.token());
    }
    if (refresh != null) {
      return refresh;
    }
    TokendException failure = backoff.failure();
    if (failure != null) {
      return CompletableFuture.failedFuture(failure);
    }
    throw new IllegalStateException("a refresh must have been started");
  }

  boolean isStale(Reading now) {
    return hasUsable(now) && holding != null && !holding.isFresh(now);
  }

  boolean hasUsable(Reading now) {
    return holding != null && !holding.isExpired(now);
  }
}
