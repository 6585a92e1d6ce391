package tokend.client;

import static org.assertj.core.api.Assertions.assertThat;
import static tokend.client.FakeCalls.token;

import io.grpc.Status;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.function.Supplier;

/** Base class of tests of a source, with {@link FakeCalls} and a clock that tests advance. */
abstract class SourceOfFakeCalls {
  static final Duration LIFE = Duration.ofMinutes(15);
  static final Duration MILLISECOND = Duration.ofMillis(1);

  final ManualClock clock = new ManualClock();
  final FakeCalls calls = new FakeCalls();
  final CachingPolicy policy = clock.policy();
  final Refreshes refreshes = new Refreshes(Telemetry.NONE);
  final CachedTokenSource source = source(calls, policy);
  final Token first = token("first", ManualClock.START, LIFE);

  CachedTokenSource source(Supplier<CompletableFuture<Token>> fetch, CachingPolicy kept) {
    return new CachedTokenSource(FakeCalls.USER, fetch, kept, refreshes);
  }

  void warm() {
    CompletableFuture<Token> token = source.tokenAsync();
    calls.last().complete(first);
    assertThat(token).isCompletedWithValue(first);
  }

  void fail(Status.Code code) {
    calls.last().completeExceptionally(TokendException.local(code, "as scripted", null));
  }

  static TokendException failureOf(CompletableFuture<Token> token) {
    return (TokendException) token.handle((brought, failure) -> failure).getNow(null);
  }

  void failFor(ErrorReason reason, Duration delay) {
    FailureDetails details = new FailureDetails(reason, null, null, delay, List.of(), null, null);
    calls.last().completeExceptionally(new TokendException(Status.Code.RESOURCE_EXHAUSTED, "busy", details, null));
  }
}
