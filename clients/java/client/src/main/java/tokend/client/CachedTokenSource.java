package tokend.client;

import java.time.Duration;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicReferenceFieldUpdater;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * Keeps the token of one user: fetches it when it is first asked for, and the next one ahead of its end.
 *
 * <p>While the token is fresh, asking costs one volatile read and a look at both clocks. From {@code refreshTime} on the
 * caller who comes first starts a refresh, and everybody gets the old token at once, until it expires. Only then do
 * callers wait, all for the same refresh. A refresh that fails keeps the token that there is; the next one is not
 * started before a back-off.
 *
 * <p>There are no threads and no timers: a source that is not asked does nothing.
 */
public final class CachedTokenSource implements TokenSource, AutoCloseable {
  private static final AtomicReferenceFieldUpdater<CachedTokenSource, SourceState> STATE =
      AtomicReferenceFieldUpdater.newUpdater(CachedTokenSource.class, SourceState.class, "state");

  private final TokenRequest request;
  private final Supplier<CompletableFuture<TokenSnapshot>> fetch;
  private final CachingPolicy policy;
  private final Refreshes refreshes;
  private volatile SourceState state = SourceState.EMPTY;

  // Set before the source is handed out.
  private Runnable whenLost = () -> {};

  /**
   * Makes an empty source.
   *
   * @param request names the user, for logs
   * @param fetch starts a call of its own, which depends on nothing of the thread that starts it and ends by itself
   */
  CachedTokenSource(
      TokenRequest request,
      Supplier<CompletableFuture<TokenSnapshot>> fetch,
      CachingPolicy policy,
      Refreshes refreshes) {
    this.request = request;
    this.fetch = fetch;
    this.policy = policy;
    this.refreshes = refreshes;
  }

  @Override
  public TokenSnapshot token() {
    TokenSnapshot fresh = fresh(policy.now());
    return fresh != null ? fresh : Waiting.await(Waiting.ofCaller(ask()));
  }

  @Override
  public TokenSnapshot token(Duration timeout) {
    Objects.requireNonNull(timeout, "timeout");
    TokenSnapshot fresh = fresh(policy.now());
    return fresh != null ? fresh : Waiting.await(Waiting.ofCaller(ask()), timeout);
  }

  @Override
  public CompletableFuture<TokenSnapshot> tokenAsync() {
    return Waiting.ofCaller(ask());
  }

  @Override
  public void invalidate(TokenSnapshot rejected) {
    String token = Objects.requireNonNull(rejected, "rejected").token();
    STATE.updateAndGet(this, seen -> seen.invalidated(token));
    noteLoss();
  }

  /**
   * The token that the source holds, fresh or not. Fetches nothing.
   *
   * @return the token; empty before the first one arrives, and when the source is closed
   */
  public Optional<TokenSnapshot> current() {
    Holding holding = state.holding();
    return holding == null ? Optional.empty() : Optional.of(holding.snapshot());
  }

  /**
   * Tells when no refresh is running, for tests and for orderly shutdown.
   *
   * @return has ended if none runs, or else ends when the one that runs does, well or not
   */
  public CompletableFuture<@Nullable Void> idle() {
    CompletableFuture<TokenSnapshot> refresh = state.refresh();
    return refresh == null ? CompletableFuture.completedFuture(null) : refresh.handle((snapshot, failure) -> null);
  }

  /** Forgets the token, ends the refresh that runs, and tells all who wait, and whoever asks later, that it is closed. */
  @Override
  public void close() {
    CompletableFuture<TokenSnapshot> refresh = STATE.getAndSet(this, SourceState.CLOSED).refresh();
    if (refresh != null) {
      refresh.completeExceptionally(SourceState.closedFailure());
    }
  }

  /** Has something run whenever there is no token to hand out: it was rejected, or has expired without another one. */
  void whenLost(Runnable action) {
    whenLost = action;
  }

  /** Whether there is a token to hand out, fresh or not. */
  boolean hasToken() {
    Holding holding = state.holding();
    return holding != null && !holding.isExpired(policy.now());
  }

  private void noteLoss() {
    if (!hasToken()) {
      whenLost.run();
    }
  }

  /** The token if it is fresh: the path that nearly all callers take. */
  @Nullable TokenSnapshot fresh(Reading now) {
    Holding holding = state.holding();
    return holding != null && holding.isFresh(now) ? holding.snapshot() : null;
  }

  /** What the caller is given, who must not end it. Starts a refresh where one is due. */
  CompletableFuture<TokenSnapshot> ask() {
    while (true) {
      SourceState seen = state;
      Reading now = policy.now();
      if (!seen.mayStartRefresh(now, refreshes.successes())) {
        return answer(seen, now);
      }
      CompletableFuture<TokenSnapshot> refresh = new CompletableFuture<>();
      SourceState refreshing = seen.refreshing(refresh);
      if (STATE.compareAndSet(this, seen, refreshing)) {
        start(refresh);
        return answer(refreshing, now);
      }
    }
  }

  private CompletableFuture<TokenSnapshot> answer(SourceState seen, Reading now) {
    if (seen.isStale(now)) {
      refreshes.telemetry().staleToken();
    }
    return seen.answer(now);
  }

  private void start(CompletableFuture<TokenSnapshot> refresh) {
    CompletableFuture<TokenSnapshot> call = refreshes.send(this::fetchDated);
    call.whenComplete((snapshot, failure) -> learn(refresh, snapshot, failure));
    // Closing the source ends the refresh; the call must not outlive it.
    refresh.whenComplete((snapshot, failure) -> call.cancel(false));
  }

  private CompletableFuture<TokenSnapshot> fetchDated() {
    long sent = policy.clock().millis();
    CompletableFuture<TokenSnapshot> call = fetch.get();
    call.thenAccept(snapshot -> refreshes.compareClocks(snapshot, sent, policy.clock().millis()));
    return call;
  }

  /** The state changes before the refresh ends: who is woken and asks again must find what was brought. */
  private void learn(
      CompletableFuture<TokenSnapshot> refresh, @Nullable TokenSnapshot snapshot, @Nullable Throwable thrown) {
    TokendException failure = thrown == null ? null : Failures.toTokendException(thrown);
    try {
      change(snapshot, failure);
      Refreshes.end(refresh, snapshot, failure);
    } catch (Throwable defect) {
      // Of the injected clock or randomness, say. As above, no caller may be left waiting.
      TokendException reported = Failures.toTokendException(defect);
      STATE.updateAndGet(this, seen -> seen.failed(Backoff.NONE));
      Refreshes.end(refresh, null, reported);
    }
  }

  private void change(@Nullable TokenSnapshot snapshot, @Nullable TokendException failure) {
    Reading now = policy.now();
    double draw = policy.random().nextDouble();
    if (failure != null) {
      long successes = refreshes.successes();
      SourceState failed =
          STATE.updateAndGet(this, seen -> seen.failed(seen.backoff().after(failure, now, draw, successes)));
      noteLoss();
      report(failed, failure, now);
    } else if (snapshot != null) {
      refreshes.succeeded();
      Holding arrived = Holding.of(snapshot, now, policy.skew(), draw);
      SourceState before = STATE.getAndUpdate(this, seen -> seen.refreshed(arrived));
      reportSuccess(before);
    }
  }

  private void report(SourceState failed, TokendException failure, Reading now) {
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
