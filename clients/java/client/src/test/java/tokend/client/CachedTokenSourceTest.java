package tokend.client;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static tokend.client.FakeCalls.token;

import io.grpc.Status;
import java.time.Duration;
import java.time.Instant;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Test;

class CachedTokenSourceTest extends SourceOfFakeCalls {
  @Test
  void newSourceMakesNoCall() {
    assertThat(calls.count()).isZero();
    assertThat(source.current()).isEmpty();
    assertThat(source.idle()).isDone();
  }

  @Test
  void firstCallerWaitsForToken() {
    CompletableFuture<Token> token = source.tokenAsync();

    assertThat(token).isNotDone();
    assertThat(source.idle()).isNotDone();
    calls.last().complete(first);
    assertThat(token).isCompletedWithValue(first);
    assertThat(source.idle()).isDone();
  }

  @Test
  void freshTokenIsReturnedWithoutCall() {
    warm();
    clock.set(first.refreshTime().minus(MILLISECOND));

    assertThat(source.token()).isSameAs(first);
    assertThat(source.token(Duration.ZERO)).isSameAs(first);
    assertThat(source.tokenAsync()).isCompletedWithValue(first);
    assertThat(calls.count()).isEqualTo(1);
  }

  @Test
  void staleTokenIsReturnedDuringRefresh() {
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
  void expiredTokenIsNotReturned() {
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
  void closingWakesWaitingCallersAndCancelsCall() {
    CompletableFuture<Token> waiting = source.tokenAsync();
    CompletableFuture<Void> idle = source.idle();

    source.close();

    assertThat(failureOf(waiting).code()).isEqualTo(Status.Code.CANCELLED);
    assertThat(idle).isDone();
    assertThat(calls.last()).isCancelled();
  }

  @Test
  void closedSourceReturnsNoTokenAndStartsNoCall() {
    warm();
    source.close();
    source.close();

    assertThat(source.current()).isEmpty();
    assertThat(failureOf(source.tokenAsync()).code()).isEqualTo(Status.Code.CANCELLED);
    assertThatExceptionOfType(TokendException.class).isThrownBy(() -> source.token());
    assertThat(calls.count()).isEqualTo(1);
  }

  @Test
  void responseAfterCloseIsIgnored() {
    FakeCalls uncancellable = new FakeCalls();
    CachedTokenSource closing = source(() -> uncancellable.get().copy(), policy);
    closing.tokenAsync();
    closing.close();

    uncancellable.last().complete(first);

    assertThat(closing.current()).isEmpty();
  }

  @Test
  void onlyRejectedTokenIsInvalidated() {
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
  void closedSourceStaysClosedAfterInvalidate() {
    warm();
    source.close();
    source.invalidate(first);

    assertThat(failureOf(source.tokenAsync()).code()).isEqualTo(Status.Code.CANCELLED);
  }
}
