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
  private final Supplier<CompletableFuture<Token>> fetch;
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
    return fresh != null ? fresh : Waiting.await(Waiting.ofCaller(ask()));
  }

  @Override
  public Token token(Duration timeout) {
    Objects.requireNonNull(timeout, "timeout");
    Token fresh = fresh(policy.now());
    return fresh != null ? fresh : Waiting.await(Waiting.ofCaller(ask()), timeout);
  }

  @Override
  public CompletableFuture<Token> tokenAsync() {
    return Waiting.ofCaller(ask());
  }

  @Override
  public void invalidate(Token rejected) {
    String token = Objects.requireNonNull(rejected, "rejected").value();
    STATE.updateAndGet(this, seen -> seen.invalidated(token));
    noteLoss();
  }

  /**
   * The token that the source holds, fresh or not. Fetches nothing.
   *
   * @return the token; empty before the first one arrives, and when the source is closed
   */
  public Optional<Token> current() {
    Holding holding = state.holding();
    return holding == null ? Optional.empty() : Optional.of(holding.token());
  }

  /**
   * Tells when no refresh is running, for tests and for orderly shutdown.
   *
   * @return has ended if none runs, or else ends when the one that runs does, well or not
   */
  public CompletableFuture<@Nullable Void> idle() {
    CompletableFuture<Token> refresh = state.refresh();
    return refresh == null ? CompletableFuture.completedFuture(null) : refresh.handle((token, failure) -> null);
  }

  /** Forgets the token, ends the refresh that runs, and tells all who wait, and whoever asks later, that it is closed. */
  @Override
  public void close() {
    CompletableFuture<Token> refresh = STATE.getAndSet(this, SourceState.CLOSED).refresh();
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

  /** The refresh that runs, if one does; its token is held when it ends. */
  @Nullable CompletableFuture<Token> refresh() {
    return state.refresh();
  }

  private void noteLoss() {
    if (!hasToken()) {
      whenLost.run();
    }
  }

  /** The token if it is fresh: the path that nearly all callers take. */
  @Nullable Token fresh(Reading now) {
    Holding holding = state.holding();
    return holding != null && holding.isFresh(now) ? holding.token() : null;
  }

  /** What the caller is given, who must not end it. Starts a refresh where one is due. */
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
    CompletableFuture<Token> call = refreshes.send(this::fetchDated);
    call.whenComplete((token, failure) -> learn(refresh, token, failure));
    // Closing the source ends the refresh; the call must not outlive it.
    refresh.whenComplete((token, failure) -> call.cancel(false));
  }

  private CompletableFuture<Token> fetchDated() {
    long sent = policy.clock().millis();
    CompletableFuture<Token> call = fetch.get();
    call.thenAccept(token -> refreshes.compareClocks(token, sent, policy.clock().millis()));
    return call;
  }

  /** The state changes before the refresh ends: who is woken and asks again must find what was brought. */
  private void learn(
      CompletableFuture<Token> refresh, @Nullable Token token, @Nullable Throwable thrown) {
    TokendException failure = thrown == null ? null : Failures.toTokendException(thrown);
    try {
      change(token, failure);
      Refreshes.end(refresh, token, failure);
    } catch (Throwable defect) {
      // Of the injected clock or randomness, say. As above, no caller may be left waiting.
      TokendException reported = Failures.toTokendException(defect);
      STATE.updateAndGet(this, seen -> seen.failed(Backoff.NONE));
      Refreshes.end(refresh, null, reported);
    }
  }

  private void change(@Nullable Token token, @Nullable TokendException failure) {
    Reading now = policy.now();
    double draw = policy.random().nextDouble();
    if (failure != null) {
      long successes = refreshes.successes();
      SourceState failed =
          STATE.updateAndGet(this, seen -> seen.failed(seen.backoff().after(failure, now, draw, successes)));
      noteLoss();
      report(failed, failure, now);
    } else if (token != null) {
      refreshes.succeeded();
      Holding arrived = Holding.of(token, now, policy.skew(), draw);
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
