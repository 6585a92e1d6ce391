package tokend.client;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static tokend.client.FakeCalls.token;

import io.grpc.Context;
import io.grpc.Status;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class CachedTokenSourceTest {
  private static final Duration LIFE = Duration.ofMinutes(15);
  private static final Duration MILLISECOND = Duration.ofMillis(1);

  private final ManualClock clock = new ManualClock();
  private final FakeCalls calls = new FakeCalls();
  private final CachingPolicy policy = clock.policy();
  private final Refreshes refreshes = new Refreshes(Telemetry.NONE);
  private final CachedTokenSource source = source(calls, policy);
  private final Token first = token("first", ManualClock.START, LIFE);

  private CachedTokenSource source(Supplier<CompletableFuture<Token>> fetch, CachingPolicy kept) {
    return new CachedTokenSource(FakeCalls.USER, fetch, kept, refreshes);
  }

  private void warm() {
    CompletableFuture<Token> token = source.tokenAsync();
    calls.last().complete(first);
    assertThat(token).isCompletedWithValue(first);
  }

  private void fail(Status.Code code) {
    calls.last().completeExceptionally(TokendException.local(code, "as scripted", null));
  }

  private static TokendException failureOf(CompletableFuture<Token> token) {
    return (TokendException) token.handle((brought, failure) -> failure).getNow(null);
  }

  @Test
  void callsNothingBeforeItIsAsked() {
    assertThat(calls.count()).isZero();
    assertThat(source.current()).isEmpty();
    assertThat(source.idle()).isDone();
  }

  @Test
  void theFirstCallerWaits() {
    CompletableFuture<Token> token = source.tokenAsync();

    assertThat(token).isNotDone();
    assertThat(source.idle()).isNotDone();
    calls.last().complete(first);
    assertThat(token).isCompletedWithValue(first);
    assertThat(source.idle()).isDone();
  }

  @Test
  void aFreshTokenIsTheVerySameOneWithoutACall() {
    warm();
    clock.set(first.refreshTime().minus(MILLISECOND));

    assertThat(source.token()).isSameAs(first);
    assertThat(source.token(Duration.ZERO)).isSameAs(first);
    assertThat(source.tokenAsync()).isCompletedWithValue(first);
    assertThat(calls.count()).isEqualTo(1);
  }

  @Test
  void aStaleTokenIsHandedOutAtOnceWhileOneRefreshRuns() {
    warm();
    clock.set(first.refreshTime());

    assertThat(source.token()).isSameAs(first);
    assertThat(source.token()).isSameAs(first);
    assertThat(calls.count()).isEqualTo(2);
    Token second = token("second", clock.instant(), LIFE);
    calls.last().complete(second);
    assertThat(source.token()).isSameAs(second);
    assertThat(calls.count()).isEqualTo(2);
  }

  @Test
  void anExpiredTokenIsNotHandedOut() {
    warm();
    clock.set(first.expireTime().minus(Duration.ofSeconds(60)).minus(MILLISECOND));
    assertThat(source.tokenAsync()).isCompletedWithValue(first);
    clock.advance(MILLISECOND);

    CompletableFuture<Token> token = source.tokenAsync();

    assertThat(token).isNotDone();
    assertThat(calls.count()).isEqualTo(2);
    Token second = token("second", clock.instant(), LIFE);
    calls.last().complete(second);
    assertThat(token).isCompletedWithValue(second);
  }

  @Test
  void callersAtOnceStartOneCallAndGetOneToken() throws Exception {
    int callers = 64;
    CyclicBarrier together = new CyclicBarrier(callers);
    ExecutorService threads = Executors.newFixedThreadPool(callers);
    try {
      List<Future<CompletableFuture<Token>>> asked = new ArrayList<>();
      for (int i = 0; i < callers; i++) {
        asked.add(
            threads.submit(
                () -> {
                  together.await();
                  return source.tokenAsync();
                }));
      }
      List<CompletableFuture<Token>> tokens = new ArrayList<>();
      for (Future<CompletableFuture<Token>> each : asked) {
        tokens.add(each.get());
      }

      assertThat(calls.count()).isEqualTo(1);
      calls.last().complete(first);
      assertThat(tokens).allSatisfy(token -> assertThat(token.join()).isSameAs(first));
    } finally {
      threads.shutdownNow();
    }
  }

  @Test
  void aBlockedCallerGetsWhatTheRefreshBrings() throws Exception {
    ExecutorService threads = Executors.newFixedThreadPool(1);
    try {
      CompletableFuture<Token> another = source.tokenAsync();
      Future<Token> blocked = threads.submit(() -> source.token());
      calls.last().complete(first);

      assertThat(blocked.get()).isSameAs(first);
      assertThat(another).isCompletedWithValue(first);
      assertThat(calls.count()).isEqualTo(1);
    } finally {
      threads.shutdownNow();
    }
  }

  @Test
  void aCallerMayWaitForTheLongestDurationThereIs() throws Exception {
    CompletableFuture<Token> waiting =
        CompletableFuture.supplyAsync(() -> source.token(ChronoUnit.FOREVER.getDuration()));
    while (calls.count() == 0 && !waiting.isDone()) {
      Thread.onSpinWait();
    }
    calls.last().complete(first);

    assertThat(waiting.get(1, TimeUnit.MINUTES)).isEqualTo(first);
  }

  @Test
  void cancellingTakesNothingFromTheOthers() {
    CompletableFuture<Token> one = source.tokenAsync();
    CompletableFuture<Token> other = source.tokenAsync();

    one.cancel(true);

    assertThat(calls.last()).isNotDone();
    calls.last().complete(first);
    assertThat(other).isCompletedWithValue(first);
  }

  @Test
  void aCallerWhoseTimeIsSpentTakesNothingFromTheOthers() {
    CompletableFuture<Token> other = source.tokenAsync();

    assertThatExceptionOfType(TokendException.class)
        .isThrownBy(() -> source.token(Duration.ofNanos(1)))
        .satisfies(e -> assertThat(e.code()).isEqualTo(Status.Code.DEADLINE_EXCEEDED));

    calls.last().complete(first);
    assertThat(other).isCompletedWithValue(first);
  }

  @Test
  void anInterruptedCallerStopsWaitingAndStaysInterrupted() {
    Thread.currentThread().interrupt();

    assertThatExceptionOfType(TokendException.class)
        .isThrownBy(() -> source.token())
        .satisfies(e -> assertThat(e.code()).isEqualTo(Status.Code.CANCELLED));

    assertThat(Thread.interrupted()).isTrue();
    assertThat(calls.last()).isNotDone();
  }

  @Test
  void aFailedRefreshKeepsTheTokenAndWaitsForTheNext() {
    warm();
    clock.set(first.refreshTime());
    assertThat(source.token()).isSameAs(first);
    fail(Status.Code.UNAVAILABLE);

    assertThat(source.token()).isSameAs(first);
    clock.advance(Duration.ofMillis(499));
    assertThat(source.token()).isSameAs(first);
    assertThat(calls.count()).isEqualTo(2);
    clock.advance(MILLISECOND);
    assertThat(source.token()).isSameAs(first);
    assertThat(calls.count()).isEqualTo(3);
  }

  @Test
  void everyFailureInARowBacksOffLonger() {
    source.tokenAsync();
    fail(Status.Code.UNAVAILABLE);
    clock.advance(Duration.ofMillis(500));
    source.tokenAsync();
    assertThat(calls.count()).isEqualTo(2);
    fail(Status.Code.UNAVAILABLE);

    clock.advance(Duration.ofMillis(999));
    assertThat(source.tokenAsync()).isCompletedExceptionally();
    assertThat(calls.count()).isEqualTo(2);
    clock.advance(MILLISECOND);
    source.tokenAsync();
    assertThat(calls.count()).isEqualTo(3);
  }

  @Test
  void successForgetsTheFailures() {
    source.tokenAsync();
    fail(Status.Code.UNAVAILABLE);
    clock.advance(Duration.ofSeconds(1));
    source.tokenAsync();
    Token short1 = token("short", clock.instant(), Duration.ofSeconds(10));
    calls.last().complete(short1);
    clock.set(short1.expireTime());
    source.tokenAsync();
    assertThat(calls.count()).isEqualTo(3);
    fail(Status.Code.UNAVAILABLE);

    clock.advance(Duration.ofMillis(500));
    source.tokenAsync();
    assertThat(calls.count()).isEqualTo(4);
  }

  @ParameterizedTest
  @ValueSource(longs = {100, 5_000, 60_000})
  void theServersRetryDelayComesBeforeTheBackOff(long delay) {
    source.tokenAsync();
    FailureDetails details =
        new FailureDetails(
            ErrorReason.TOO_MANY_REQUESTS, null, null, Duration.ofMillis(delay), List.of(), null, null);
    calls.last().completeExceptionally(new TokendException(Status.Code.RESOURCE_EXHAUSTED, "busy", details, null));

    clock.advance(Duration.ofMillis(delay - 1));
    assertThat(source.tokenAsync()).isCompletedExceptionally();
    assertThat(calls.count()).isEqualTo(1);
    clock.advance(MILLISECOND);
    assertThat(source.tokenAsync()).isNotDone();
    assertThat(calls.count()).isEqualTo(2);
  }

  @Test
  void whoWaitedGetsTheFailureAndWhoComesDuringTheBackOffTheLastOne() {
    CompletableFuture<Token> waiting = source.tokenAsync();
    fail(Status.Code.NOT_FOUND);
    CompletableFuture<Token> later = source.tokenAsync();

    assertThat(failureOf(waiting).code()).isEqualTo(Status.Code.NOT_FOUND);
    assertThat(failureOf(later).code()).isEqualTo(Status.Code.NOT_FOUND);
    assertThat(calls.count()).isEqualTo(1);
  }

  @Test
  void theBlockingFormThrowsFromTheCallersOwnStack() {
    source.tokenAsync();
    fail(Status.Code.NOT_FOUND);

    assertThatExceptionOfType(TokendException.class)
        .isThrownBy(() -> source.token())
        .satisfies(e -> assertThat(e.code()).isEqualTo(Status.Code.NOT_FOUND))
        .satisfies(e -> assertThat(e.getStackTrace()).anyMatch(frame -> frame.getMethodName().startsWith("theBlocking")))
        .withCauseExactlyInstanceOf(TokendException.class);
  }

  @Test
  void anOutageOfHalfTheLifeIsInvisible() {
    CachedTokenSource jittered = source(calls, policy.withRandom(new Draws(0.5)));
    jittered.tokenAsync();
    calls.last().complete(first);
    Instant outageEnd = first.expireTime().minus(Duration.ofSeconds(61));

    while (clock.instant().isBefore(outageEnd)) {
      assertThat(jittered.tokenAsync()).isCompletedWithValue(first);
      if (!calls.last().isDone()) {
        fail(Status.Code.UNAVAILABLE);
      }
      clock.advance(Duration.ofSeconds(1));
    }

    assertThat(calls.count()).isBetween(8, 20);
    clock.advance(Duration.ofSeconds(60));
    jittered.tokenAsync();
    Token second = token("second", clock.instant(), LIFE);
    calls.last().complete(second);
    assertThat(jittered.token()).isSameAs(second);
  }

  @Test
  void aCallThatCannotStartIsAFailureLikeAnyOther() {
    FakeCalls later = new FakeCalls();
    List<Integer> starts = new ArrayList<>();
    CachedTokenSource broken =
        source(
            () -> {
              starts.add(1);
              if (starts.size() == 1) {
                throw new NoClassDefFoundError("transport");
              }
              return later.get();
            },
            policy);

    assertThat(failureOf(broken.tokenAsync()).code()).isEqualTo(Status.Code.UNKNOWN);
    clock.advance(Duration.ofSeconds(1));
    CompletableFuture<Token> token = broken.tokenAsync();
    later.last().complete(first);
    assertThat(token).isCompletedWithValue(first);
  }

  @Test
  void aDefectOfWhatIsInjectedLeavesNoCallerWaiting() {
    CachedTokenSource broken = source(calls, policy.withRandom(() -> Math.floorDiv(1L, 0L)));
    CompletableFuture<Token> token = broken.tokenAsync();
    calls.last().complete(first);

    assertThat(failureOf(token)).hasMessage("UNKNOWN: ArithmeticException");
    assertThat(broken.tokenAsync()).isNotDone();
    assertThat(calls.count()).isEqualTo(2);
  }

  @Test
  void whoIsWokenFindsTheNewTokenWhenTheyAskAgain() {
    List<Token> seen = new ArrayList<>();
    source.tokenAsync().thenAccept(token -> seen.add(source.token(Duration.ZERO)));

    calls.last().complete(first);

    assertThat(seen).containsExactly(first);
  }

  @Test
  void closingWakesThoseWhoWaitAndEndsTheCall() {
    CompletableFuture<Token> waiting = source.tokenAsync();
    CompletableFuture<Void> idle = source.idle();

    source.close();

    assertThat(failureOf(waiting).code()).isEqualTo(Status.Code.CANCELLED);
    assertThat(idle).isDone();
    assertThat(calls.last()).isCancelled();
  }

  @Test
  void aClosedSourceGivesAndStartsNothing() {
    warm();
    source.close();
    source.close();

    assertThat(source.current()).isEmpty();
    assertThat(failureOf(source.tokenAsync()).code()).isEqualTo(Status.Code.CANCELLED);
    assertThatExceptionOfType(TokendException.class).isThrownBy(() -> source.token());
    assertThat(calls.count()).isEqualTo(1);
  }

  @Test
  void whatArrivesAfterClosingIsDropped() {
    FakeCalls uncancellable = new FakeCalls();
    CachedTokenSource closing = source(() -> uncancellable.get().copy(), policy);
    closing.tokenAsync();
    closing.close();

    uncancellable.last().complete(first);

    assertThat(closing.current()).isEmpty();
  }

  private void failFor(ErrorReason reason, Duration delay) {
    FailureDetails details = new FailureDetails(reason, null, null, delay, List.of(), null, null);
    calls.last().completeExceptionally(new TokendException(Status.Code.RESOURCE_EXHAUSTED, "busy", details, null));
  }

  @Test
  void aDelayOfADayCountsAMinute() {
    source.tokenAsync();
    failFor(ErrorReason.TOO_MANY_REQUESTS, Duration.ofDays(1));

    clock.advance(Duration.ofSeconds(60).minus(MILLISECOND));
    assertThat(source.tokenAsync()).isCompletedExceptionally();
    clock.advance(MILLISECOND);
    assertThat(source.tokenAsync()).isNotDone();
  }

  @Test
  void aDelayOfZeroIsNone() {
    source.tokenAsync();
    failFor(ErrorReason.TOO_MANY_REQUESTS, Duration.ZERO);

    assertThat(source.tokenAsync()).isCompletedExceptionally();
    clock.advance(Duration.ofMillis(500));
    assertThat(source.tokenAsync()).isNotDone();
  }

  @Test
  void aSourceThatExpiresDuringALongBackOffWaitsForTheShortOne() {
    warm();
    clock.set(first.refreshTime());
    for (int failures = 0; failures < 8; failures++) {
      assertThat(source.tokenAsync()).isCompletedWithValue(first);
      fail(Status.Code.UNAVAILABLE);
      clock.advance(Duration.ofSeconds(30));
    }
    assertThat(source.tokenAsync()).isCompletedWithValue(first);
    clock.set(first.expireTime().minus(Duration.ofSeconds(61)));
    source.tokenAsync();
    fail(Status.Code.UNAVAILABLE);
    int made = calls.count();
    clock.advance(Duration.ofMillis(999));
    assertThat(source.tokenAsync()).isCompletedWithValue(first);
    assertThat(calls.count()).isEqualTo(made);

    clock.advance(MILLISECOND);

    assertThat(source.tokenAsync()).isNotDone();
    assertThat(calls.count()).isEqualTo(made + 1);
  }

  @Test
  void aSuccessOfTheClientEndsTheBackOffThatFollowsAFailureWithoutAReason() {
    FakeCalls others = new FakeCalls();
    CachedTokenSource other = source(others, policy);
    source.tokenAsync();
    fail(Status.Code.UNAVAILABLE);
    assertThat(source.tokenAsync()).isCompletedExceptionally();

    other.tokenAsync();
    others.last().complete(first);

    assertThat(source.tokenAsync()).isNotDone();
    assertThat(calls.count()).isEqualTo(2);
  }

  @Test
  void aSuccessOfTheClientEndsNoBackOffAfterARefusal() {
    FakeCalls others = new FakeCalls();
    CachedTokenSource other = source(others, policy);
    source.tokenAsync();
    failFor(ErrorReason.NOT_AUTHORIZED, Duration.ZERO);

    other.tokenAsync();
    others.last().complete(first);

    assertThat(source.tokenAsync()).isCompletedExceptionally();
    assertThat(calls.count()).isEqualTo(1);
  }

  @Test
  void backOffFollowsTheMonotonicClock() {
    source.tokenAsync();
    fail(Status.Code.UNAVAILABLE);

    clock.moveWall(Duration.ofHours(1));
    assertThat(source.tokenAsync()).isCompletedExceptionally();
    clock.moveWall(Duration.ofHours(-2));
    clock.advance(Duration.ofMillis(500));
    assertThat(source.tokenAsync()).isNotDone();
  }

  @Test
  void aRejectedTokenIsDroppedAndNoOther() {
    warm();
    Token same = new Token("id", "first", null, Instant.EPOCH, Instant.EPOCH);
    source.invalidate(token("another", ManualClock.START, LIFE));
    assertThat(source.token()).isSameAs(first);

    source.invalidate(same);

    assertThat(source.current()).isEmpty();
    CompletableFuture<Token> token = source.tokenAsync();
    assertThat(token).isNotDone();
    Token second = token("second", clock.instant(), LIFE);
    calls.last().complete(second);
    source.invalidate(same);
    assertThat(token).isCompletedWithValue(second);
    assertThat(source.token()).isSameAs(second);
    assertThat(calls.count()).isEqualTo(2);
  }

  @Test
  void aClosedSourceStaysClosedWhenATokenIsRejected() {
    warm();
    source.close();
    source.invalidate(first);

    assertThat(failureOf(source.tokenAsync()).code()).isEqualTo(Status.Code.CANCELLED);
  }

  @Test
  void theDeadlineOfTheCallersContextEndsItsWaiting() throws Exception {
    ScheduledExecutorService timer = Executors.newSingleThreadScheduledExecutor();
    try {
      Context caller = Context.current().withDeadlineAfter(20, TimeUnit.MILLISECONDS, timer);
      assertThatExceptionOfType(TokendException.class)
          .isThrownBy(() -> caller.call(() -> source.token()))
          .satisfies(e -> assertThat(e.code()).isEqualTo(Status.Code.DEADLINE_EXCEEDED))
          .satisfies(e -> assertThat(e.downstreamCode()).isEqualTo(Status.Code.DEADLINE_EXCEEDED));
      assertThat(failureOf(caller.call(() -> source.tokenAsync())).code()).isEqualTo(Status.Code.DEADLINE_EXCEEDED);
    } finally {
      timer.shutdownNow();
    }
    assertThat(calls.last()).isNotDone();
  }

  @Test
  void aCallerWhoGivesUpItsContextTakesNothingFromTheOthers() throws Exception {
    Context.CancellableContext caller = Context.current().withCancellation();
    CompletableFuture<Token> given = caller.call(() -> source.tokenAsync());
    CompletableFuture<Token> other = source.tokenAsync();

    caller.cancel(null);

    assertThat(failureOf(given).code()).isEqualTo(Status.Code.CANCELLED);
    assertThat(failureOf(given).downstreamCode()).isEqualTo(Status.Code.CANCELLED);
    calls.last().complete(first);
    assertThat(other).isCompletedWithValue(first);
  }

  @Test
  void aTokenThatIsThereGoesToACallerWhoseTimeIsSpent() throws Exception {
    warm();
    Context.CancellableContext caller = Context.current().withCancellation();
    caller.cancel(null);

    assertThat(caller.call(() -> source.tokenAsync())).isCompletedWithValue(first);
  }
}
