package tokend.client;

import java.time.Duration;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicReferenceFieldUpdater;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * Caches the token of one user. It fetches a token on the first request, and the next one before the token expires.
 *
 * <p>While the token is fresh, a request costs one volatile read and a reading of both clocks. After {@code
 * refreshTime}, the first request starts a refresh, and all callers still get the cached token at once until it
 * expires. After that, callers wait for the same refresh. A failed refresh leaves the cached token in place; the next
 * refresh starts after a back-off.
 *
 * <p>The source has no threads and no timers: without requests it does nothing.
 */
public final class CachedTokenSource implements TokenSource, AutoCloseable {
  private static final AtomicReferenceFieldUpdater<CachedTokenSource, SourceState> STATE =
      AtomicReferenceFieldUpdater.newUpdater(CachedTokenSource.class, SourceState.class, "state");

  private final TokenRequest request;
  private final Supplier<CompletableFuture<Token>> fetch;
  private final CachingPolicy policy;
  private final Refreshes refreshes;
  private volatile SourceState state = SourceState.EMPTY;

  // Set before the source is published.
  private Runnable onTokenLost = () -> {};

  /**
   * Creates an empty source.
   *
   * @param request identifies the user in logs
   * @param fetch starts a call that is independent of the calling thread's context and has its own deadline
   */
  CachedTokenSource(
      TokenRequest request,
      Supplier<CompletableFuture<Token>> fetch,
      CachingPolicy policy,
      Refreshes refreshes) {
    this.request = request;
    this.fetch = fetch;
    this.policy = policy;
    this.refreshes = refreshes;
  }

  @Override
  public Token token() {
    Token fresh = fresh(policy.now());
    return fresh != null ? fresh : Futures.await(Futures.forCaller(ask()));
  }

  @Override
  public Token token(Duration timeout) {
    Objects.requireNonNull(timeout, "timeout");
    Token fresh = fresh(policy.now());
    return fresh != null ? fresh : Futures.await(Futures.forCaller(ask()), timeout);
  }

  @Override
  public CompletableFuture<Token> tokenAsync() {
    return Futures.forCaller(ask());
  }

  @Override
  public void invalidate(Token rejected) {
    String token = Objects.requireNonNull(rejected, "rejected").value();
    STATE.updateAndGet(this, seen -> seen.invalidated(token));
    notifyIfLost();
  }

  /**
   * Returns the cached token, fresh or not, without fetching one.
   *
   * @return the token; empty before the first refresh succeeds, and after {@link #close()}
   */
  public Optional<Token> current() {
    Holding holding = state.holding();
    return holding == null ? Optional.empty() : Optional.of(holding.token());
  }

  /**
   * Returns a future that completes when no refresh is running, for tests and for orderly shutdown.
   *
   * @return complete if no refresh is running, or else completes when the running one succeeds or fails
   */
  public CompletableFuture<@Nullable Void> idle() {
    CompletableFuture<Token> refresh = state.refresh();
    return refresh == null ? CompletableFuture.completedFuture(null) : refresh.handle((token, failure) -> null);
  }

  /** Drops the token and cancels a running refresh. Waiting and later callers get a {@link TokendException}. */
  @Override
  public void close() {
    CompletableFuture<Token> refresh = STATE.getAndSet(this, SourceState.CLOSED).refresh();
    if (refresh != null) {
      refresh.completeExceptionally(SourceState.closedFailure());
    }
  }

  /**
   * Sets an action that runs whenever the token is lost: it was rejected, or has expired and could not be refreshed.
   */
  void onTokenLost(Runnable action) {
    onTokenLost = action;
  }

  /** Reports whether there is a usable token, fresh or not. */
  boolean hasToken() {
    Holding holding = state.holding();
    return holding != null && !holding.isExpired(policy.now());
  }

  /** Returns the running refresh, or null. The source holds its token when it completes. */
  @Nullable CompletableFuture<Token> refresh() {
    return state.refresh();
  }

  private void notifyIfLost() {
    if (!hasToken()) {
      onTokenLost.run();
    }
  }

  /** Returns the token if it is fresh: the path of nearly all requests. */
  @Nullable Token fresh(Reading now) {
    Holding holding = state.holding();
    return holding != null && holding.isFresh(now) ? holding.token() : null;
  }

  /** Returns a shared future, which the caller must not complete. Starts a refresh if one is due. */
  CompletableFuture<Token> ask() {
    while (true) {
      SourceState seen = state;
      Reading now = policy.now();
      if (!seen.mayStartRefresh(now, refreshes.successes())) {
        return answer(seen, now);
      }
      CompletableFuture<Token> refresh = new CompletableFuture<>();
      SourceState refreshing = seen.refreshing(refresh);
      if (STATE.compareAndSet(this, seen, refreshing)) {
        start(refresh);
        return answer(refreshing, now);
      }
    }
  }

  private CompletableFuture<Token> answer(SourceState seen, Reading now) {
    if (seen.isStale(now)) {
      refreshes.telemetry().staleToken();
    }
    return seen.answer(now);
  }

  private void start(CompletableFuture<Token> refresh) {
    CompletableFuture<Token> call = refreshes.send(this::fetchAndCompareClocks);
    call.whenComplete((token, failure) -> finishRefresh(refresh, token, failure));
    // close() completes the refresh; this cancels the call.
    refresh.whenComplete((token, failure) -> call.cancel(false));
  }

  private CompletableFuture<Token> fetchAndCompareClocks() {
    long sent = policy.clock().millis();
    CompletableFuture<Token> call = fetch.get();
    call.thenAccept(token -> refreshes.compareClocks(token, sent, policy.clock().millis()));
    return call;
  }

  /** Changes the state before it completes the refresh: woken callers that ask again must find the result. */
  private void finishRefresh(
      CompletableFuture<Token> refresh, @Nullable Token token, @Nullable Throwable thrown) {
    TokendException failure = thrown == null ? null : Failures.toTokendException(thrown);
    try {
      updateState(token, failure);
      Refreshes.complete(refresh, token, failure);
    } catch (Throwable defect) {
      // For example in the injected clock or randomness. Waiting callers must get a result nevertheless.
      TokendException reported = Failures.toTokendException(defect);
      STATE.updateAndGet(this, seen -> seen.failed(Backoff.NONE));
      Refreshes.complete(refresh, null, reported);
    }
  }

  private void updateState(@Nullable Token token, @Nullable TokendException failure) {
    Reading now = policy.now();
    double draw = policy.random().nextDouble();
    if (failure != null) {
      long successes = refreshes.successes();
      SourceState failed =
          STATE.updateAndGet(this, seen -> seen.failed(seen.backoff().after(failure, now, draw, successes)));
      notifyIfLost();
      reportFailure(failed, failure, now);
    } else if (token != null) {
      refreshes.succeeded();
      Holding arrived = Holding.of(token, now, policy.skew(), draw);
      SourceState before = STATE.getAndUpdate(this, seen -> seen.refreshed(arrived));
      reportSuccess(before);
    }
  }

  private void reportFailure(SourceState failed, TokendException failure, Reading now) {
    if (failed.closed()) {
      return;
    }
    Telemetry telemetry = refreshes.telemetry();
    telemetry.refreshed(failure);
    Backoff backoff = failed.backoff();
    long delay = failed.hasUsable(now) ? backoff.delay() : backoff.delayWithoutToken();
    telemetry.logFailure(request, failure, backoff.failures() == 1, delay, now);
  }

  private void reportSuccess(SourceState before) {
    if (before.closed()) {
      return;
    }
    refreshes.telemetry().refreshed(null);
    if (before.backoff().failures() > 0) {
      refreshes.telemetry().logRecovery(request);
    }
  }
}
