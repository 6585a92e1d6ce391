package tokend.client;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static tokend.client.FakeCalls.snapshot;

import io.grpc.Status;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class CachedTokenSourceTest {
  private static final Duration LIFE = Duration.ofMinutes(15);
  private static final Duration MILLISECOND = Duration.ofMillis(1);

  private final ManualClock clock = new ManualClock();
  private final FakeCalls calls = new FakeCalls();
  private final CachingPolicy policy = CachingPolicy.defaults().withClock(clock).withRandom(new Draws(0));
  private final CachedTokenSource source = new CachedTokenSource(calls, policy);
  private final TokenSnapshot first = snapshot("first", ManualClock.START, LIFE);

  private void warm() {
    CompletableFuture<TokenSnapshot> token = source.tokenAsync();
    calls.last().complete(first);
    assertThat(token).isCompletedWithValue(first);
  }

  private void fail(Status.Code code) {
    calls.last().completeExceptionally(TokendException.local(code, "as told", null));
  }

  private static TokendException failureOf(CompletableFuture<TokenSnapshot> token) {
    return (TokendException) token.handle((snapshot, failure) -> failure).getNow(null);
  }

  @Test
  void callsNothingBeforeItIsAsked() {
    assertThat(calls.count()).isZero();
    assertThat(source.current()).isEmpty();
    assertThat(source.idle()).isDone();
  }

  @Test
  void theFirstCallerWaits() {
    CompletableFuture<TokenSnapshot> token = source.tokenAsync();

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
    TokenSnapshot second = snapshot("second", clock.instant(), LIFE);
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

    CompletableFuture<TokenSnapshot> token = source.tokenAsync();

    assertThat(token).isNotDone();
    assertThat(calls.count()).isEqualTo(2);
    TokenSnapshot second = snapshot("second", clock.instant(), LIFE);
    calls.last().complete(second);
    assertThat(token).isCompletedWithValue(second);
  }

  @Test
  void aTokenThatArrivesExpiredGoesToThoseWhoWaitedForIt() {
    CompletableFuture<TokenSnapshot> token = source.tokenAsync();
    TokenSnapshot late = snapshot("late", ManualClock.START.minus(LIFE.multipliedBy(2)), LIFE);
    calls.last().complete(late);

    assertThat(token).isCompletedWithValue(late);
    assertThat(source.tokenAsync()).isNotDone();
    assertThat(calls.count()).isEqualTo(2);
  }

  @Test
  void callersAtOnceStartOneCallAndGetOneToken() throws Exception {
    int callers = 64;
    CyclicBarrier together = new CyclicBarrier(callers);
    ExecutorService threads = Executors.newFixedThreadPool(callers);
    try {
      List<Future<CompletableFuture<TokenSnapshot>>> asked = new ArrayList<>();
      for (int i = 0; i < callers; i++) {
        asked.add(
            threads.submit(
                () -> {
                  together.await();
                  return source.tokenAsync();
                }));
      }
      List<CompletableFuture<TokenSnapshot>> tokens = new ArrayList<>();
      for (Future<CompletableFuture<TokenSnapshot>> each : asked) {
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
      CompletableFuture<TokenSnapshot> another = source.tokenAsync();
      Future<TokenSnapshot> blocked = threads.submit(() -> source.token());
      calls.last().complete(first);

      assertThat(blocked.get()).isSameAs(first);
      assertThat(another).isCompletedWithValue(first);
      assertThat(calls.count()).isEqualTo(1);
    } finally {
      threads.shutdownNow();
    }
  }

  @Test
  void cancellingTakesNothingFromTheOthers() {
    CompletableFuture<TokenSnapshot> one = source.tokenAsync();
    CompletableFuture<TokenSnapshot> other = source.tokenAsync();

    one.cancel(true);

    assertThat(calls.last()).isNotDone();
    calls.last().complete(first);
    assertThat(other).isCompletedWithValue(first);
  }

  @Test
  void aCallerWhoseTimeIsSpentTakesNothingFromTheOthers() {
    CompletableFuture<TokenSnapshot> other = source.tokenAsync();

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

  @ParameterizedTest
  @CsvSource({"1,500", "2,1000", "3,2000", "4,4000", "5,8000", "6,16000", "7,30000", "8,30000", "1000,30000"})
  void backOffDoublesFromOneSecondToSixtyAndIsDrawnFromTheUpperHalf(int failures, long least) {
    TokendException failure = TokendException.local(Status.Code.UNAVAILABLE, "as told", null);

    assertThat(Backoff.after(failure, failures, 0).toMillis()).isEqualTo(least);
    assertThat(Backoff.after(failure, failures, 0.5).toMillis()).isEqualTo(least * 3 / 2);
    assertThat(Backoff.after(failure, failures, 1).toMillis()).isEqualTo(least * 2);
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
    TokenSnapshot short1 = snapshot("short", clock.instant(), Duration.ofSeconds(10));
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
  @ValueSource(longs = {100, 5_000, 300_000})
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
    CompletableFuture<TokenSnapshot> waiting = source.tokenAsync();
    fail(Status.Code.NOT_FOUND);
    CompletableFuture<TokenSnapshot> later = source.tokenAsync();

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
    CachedTokenSource jittered = new CachedTokenSource(calls, policy.withRandom(new Draws(0.5)));
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
    TokenSnapshot second = snapshot("second", clock.instant(), LIFE);
    calls.last().complete(second);
    assertThat(jittered.token()).isSameAs(second);
  }

  @Test
  void aCallThatCannotStartIsAFailureLikeAnyOther() {
    FakeCalls later = new FakeCalls();
    List<Integer> starts = new ArrayList<>();
    CachedTokenSource broken =
        new CachedTokenSource(
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
    CompletableFuture<TokenSnapshot> token = broken.tokenAsync();
    later.last().complete(first);
    assertThat(token).isCompletedWithValue(first);
  }

  @Test
  void aDefectOfWhatIsInjectedLeavesNoCallerWaiting() {
    CachedTokenSource broken = new CachedTokenSource(calls, policy.withRandom(() -> Math.floorDiv(1L, 0L)));
    CompletableFuture<TokenSnapshot> token = broken.tokenAsync();
    calls.last().complete(first);

    assertThat(failureOf(token)).hasMessage("UNKNOWN: ArithmeticException");
    assertThat(broken.tokenAsync()).isNotDone();
    assertThat(calls.count()).isEqualTo(2);
  }

  @Test
  void whoIsWokenFindsTheNewTokenWhenTheyAskAgain() {
    List<TokenSnapshot> seen = new ArrayList<>();
    source.tokenAsync().thenAccept(token -> seen.add(source.token(Duration.ZERO)));

    calls.last().complete(first);

    assertThat(seen).containsExactly(first);
  }

  @Test
  void closingWakesThoseWhoWaitAndEndsTheCall() {
    CompletableFuture<TokenSnapshot> waiting = source.tokenAsync();
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
    CachedTokenSource closing = new CachedTokenSource(() -> uncancellable.get().copy(), policy);
    closing.tokenAsync();
    closing.close();

    uncancellable.last().complete(first);

    assertThat(closing.current()).isEmpty();
  }
}
