package tokend.client;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import io.grpc.Context;
import io.grpc.Status;
import java.time.Duration;
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
import org.junit.jupiter.api.Test;

/** Callers share a refresh; each has its own timeout. */
class CachedTokenSourceCallersTest extends SourceOfFakeCalls {
  @Test
  void concurrentCallersShareOneCall() throws Exception {
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
  void blockedCallerGetsOutcomeOfRefresh() throws Exception {
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
  void callerMayWaitForLongestDuration() throws Exception {
    CompletableFuture<Token> waiting =
        CompletableFuture.supplyAsync(() -> source.token(ChronoUnit.FOREVER.getDuration()));
    while (calls.count() == 0 && !waiting.isDone()) {
      Thread.onSpinWait();
    }
    calls.last().complete(first);

    assertThat(waiting.get(1, TimeUnit.MINUTES)).isEqualTo(first);
  }

  @Test
  void cancellingOneFutureDoesNotAffectOthers() {
    CompletableFuture<Token> one = source.tokenAsync();
    CompletableFuture<Token> other = source.tokenAsync();

    one.cancel(true);

    assertThat(calls.last()).isNotDone();
    calls.last().complete(first);
    assertThat(other).isCompletedWithValue(first);
  }

  @Test
  void timeoutOfCallerDoesNotAffectOthers() {
    CompletableFuture<Token> other = source.tokenAsync();

    assertThatExceptionOfType(TokendException.class)
        .isThrownBy(() -> source.token(Duration.ofNanos(1)))
        .satisfies(e -> assertThat(e.code()).isEqualTo(Status.Code.DEADLINE_EXCEEDED));

    calls.last().complete(first);
    assertThat(other).isCompletedWithValue(first);
  }

  @Test
  void interruptedCallerStopsWaitingAndStaysInterrupted() {
    Thread.currentThread().interrupt();

    assertThatExceptionOfType(TokendException.class)
        .isThrownBy(() -> source.token())
        .satisfies(e -> assertThat(e.code()).isEqualTo(Status.Code.CANCELLED));

    assertThat(Thread.interrupted()).isTrue();
    assertThat(calls.last()).isNotDone();
  }

  @Test
  void blockingCallThrowsWithStackTraceOfCaller() {
    source.tokenAsync();
    fail(Status.Code.NOT_FOUND);

    assertThatExceptionOfType(TokendException.class)
        .isThrownBy(() -> source.token())
        .satisfies(e -> assertThat(e.code()).isEqualTo(Status.Code.NOT_FOUND))
        .satisfies(e -> assertThat(e.getStackTrace()).anyMatch(frame -> frame.getMethodName().startsWith("blockingCall")))
        .withCauseExactlyInstanceOf(TokendException.class);
  }

  @Test
  void wokenCallerFindsNewToken() {
    List<Token> seen = new ArrayList<>();
    source.tokenAsync().thenAccept(token -> seen.add(source.token(Duration.ZERO)));

    calls.last().complete(first);

    assertThat(seen).containsExactly(first);
  }

  @Test
  void contextDeadlineEndsWaiting() throws Exception {
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
  void cancelledContextOfCallerDoesNotAffectOthers() throws Exception {
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
  void cachedTokenIsReturnedAfterDeadlineOfCaller() throws Exception {
    warm();
    Context.CancellableContext caller = Context.current().withCancellation();
    caller.cancel(null);

    assertThat(caller.call(() -> source.tokenAsync())).isCompletedWithValue(first);
  }
}
