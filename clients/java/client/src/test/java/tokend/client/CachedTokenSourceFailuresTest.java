package tokend.client;

import static org.assertj.core.api.Assertions.assertThat;
import static tokend.client.FakeCalls.token;

import io.grpc.Status;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Back-off after failed refreshes. */
class CachedTokenSourceFailuresTest extends SourceOfFakeCalls {
  @Test
  void failedRefreshKeepsTokenAndBacksOff() {
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
  void backoffGrowsWithEachFailure() {
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
  void successResetsBackoff() {
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
  void retryDelayOfServerReplacesBackoff(long delay) {
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
  void waitingCallersAndCallersDuringBackoffGetFailure() {
    CompletableFuture<Token> waiting = source.tokenAsync();
    fail(Status.Code.NOT_FOUND);
    CompletableFuture<Token> later = source.tokenAsync();

    assertThat(failureOf(waiting).code()).isEqualTo(Status.Code.NOT_FOUND);
    assertThat(failureOf(later).code()).isEqualTo(Status.Code.NOT_FOUND);
    assertThat(calls.count()).isEqualTo(1);
  }

  @Test
  void outageOfHalfTheLifetimeCausesNoFailure() {
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
  void failureToStartCallFailsRefresh() {
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
  void exceptionOfInjectedRandomFailsWaitingCallers() {
    CachedTokenSource broken = source(calls, policy.withRandom(() -> Math.floorDiv(1L, 0L)));
    CompletableFuture<Token> token = broken.tokenAsync();
    calls.last().complete(first);

    assertThat(failureOf(token)).hasMessage("UNKNOWN: ArithmeticException");
    assertThat(broken.tokenAsync()).isNotDone();
    assertThat(calls.count()).isEqualTo(2);
  }

  @Test
  void retryDelayIsLimitedToOneMinute() {
    source.tokenAsync();
    failFor(ErrorReason.TOO_MANY_REQUESTS, Duration.ofDays(1));

    clock.advance(Duration.ofSeconds(60).minus(MILLISECOND));
    assertThat(source.tokenAsync()).isCompletedExceptionally();
    clock.advance(MILLISECOND);
    assertThat(source.tokenAsync()).isNotDone();
  }

  @Test
  void zeroRetryDelayIsIgnored() {
    source.tokenAsync();
    failFor(ErrorReason.TOO_MANY_REQUESTS, Duration.ZERO);

    assertThat(source.tokenAsync()).isCompletedExceptionally();
    clock.advance(Duration.ofMillis(500));
    assertThat(source.tokenAsync()).isNotDone();
  }

  @Test
  void expiryDuringBackoffShortensBackoff() {
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
  void successOfClientEndsBackoffAfterFailureWithoutReason() {
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
  void successOfClientDoesNotEndBackoffAfterFailureWithReason() {
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
  void backoffUsesMonotonicClock() {
    source.tokenAsync();
    fail(Status.Code.UNAVAILABLE);

    clock.moveWall(Duration.ofHours(1));
    assertThat(source.tokenAsync()).isCompletedExceptionally();
    clock.moveWall(Duration.ofHours(-2));
    clock.advance(Duration.ofMillis(500));
    assertThat(source.tokenAsync()).isNotDone();
  }
}
