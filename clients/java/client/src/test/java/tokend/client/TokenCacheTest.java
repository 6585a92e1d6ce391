package tokend.client;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static tokend.client.FakeCalls.token;

import io.grpc.Status;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class TokenCacheTest {
  private static final Duration LIFE = Duration.ofMinutes(15);

  private final ManualClock clock = new ManualClock();
  private final CachingPolicy policy = clock.policy();
  private final Refreshes refreshes = new Refreshes(Telemetry.NONE);
  private final Map<String, FakeCalls> calls = new HashMap<>();

  private static TokenRequest user(String name) {
    return TokenRequest.of("pool", "provider", name);
  }

  private TokenCache cache(int maxUsers) {
    return new TokenCache(
        request -> new CachedTokenSource(request, callsOf(request.logins().values().iterator().next()), policy, refreshes),
        policy,
        maxUsers,
        Telemetry.NONE);
  }

  private FakeCalls callsOf(String name) {
    return calls.computeIfAbsent(name, key -> new FakeCalls());
  }

  private Token warm(TokenCache cache, String name) {
    clock.advance(Duration.ofMillis(1));
    cache.tokenAsync(user(name));
    Token token = token(name + callsOf(name).count(), clock.instant(), LIFE);
    callsOf(name).last().complete(token);
    return cache.token(user(name));
  }

  private void use(TokenCache cache, String name) {
    clock.advance(Duration.ofMillis(1));
    assertThat(cache.tokenAsync(user(name))).as(name).isDone();
  }

  @Test
  void eachUserHasOwnToken() {
    TokenCache cache = cache(10);
    Token alice = warm(cache, "alice");
    Token bob = warm(cache, "bob");

    assertThat(cache.token(user("alice"))).isSameAs(alice).isNotEqualTo(bob);
    assertThat(cache.token(user("bob"), Duration.ZERO)).isSameAs(bob);
    assertThat(cache.tokenAsync(user("alice"))).isCompletedWithValue(alice);
    assertThat(callsOf("alice").count()).isEqualTo(1);
    assertThat(callsOf("bob").count()).isEqualTo(1);
  }

  @Test
  void cacheReturnsSameSourceForUser() {
    TokenCache cache = cache(10);
    Token alice = warm(cache, "alice");

    assertThat(cache.source(user("alice"))).isSameAs(cache.source(user("alice")));
    assertThat(cache.source(user("alice")).current()).contains(alice);
  }

  @Test
  void leastRecentlyUsedIsEvicted() {
    TokenCache cache = cache(3);
    warm(cache, "alice");
    warm(cache, "bob");
    warm(cache, "carol");
    use(cache, "alice");
    use(cache, "carol");

    warm(cache, "dave");
    use(cache, "alice");
    warm(cache, "erin");

    for (String kept : new String[] {"alice", "dave", "erin"}) {
      assertThat(cache.tokenAsync(user(kept))).as(kept).isDone();
    }
    for (String gone : new String[] {"bob", "carol"}) {
      assertThat(cache.source(user(gone)).current()).as(gone).isEmpty();
    }
  }

  @Test
  void cacheSizeIsLimited() {
    TokenCache cache = cache(100);
    for (int i = 0; i < 1000; i++) {
      warm(cache, "user" + i);
    }

    long held = 0;
    for (int i = 999; i >= 0; i--) {
      // A request for an evicted user evicts another, so only the newest hundred are requested twice.
      held += i >= 900 && cache.source(user("user" + i)).current().isPresent() ? 1 : 0;
    }
    assertThat(held).isEqualTo(100);
    assertThat(cache.source(user("user0")).current()).isEmpty();
  }

  @Test
  void clockSetBackDoesNotEvictNewUsers() {
    TokenCache cache = cache(2);
    warm(cache, "alice");
    warm(cache, "bob");
    clock.advance(Duration.ofHours(-1));

    warm(cache, "carol");

    assertThat(cache.source(user("carol")).current()).isPresent();
  }

  @Test
  void callerOfEvictedUserStillGetsToken() {
    TokenCache cache = cache(1);
    CompletableFuture<Token> waiting = cache.tokenAsync(user("alice"));
    warm(cache, "bob");

    Token token = token("late", clock.instant(), LIFE);
    callsOf("alice").last().complete(token);

    assertThat(waiting).isCompletedWithValue(token);
  }

  @Test
  void evictedUserReturnsWhenRefreshCompletes() {
    try (TokenCache cache = cache(1)) {
      cache.tokenAsync(user("alice"));
      cache.tokenAsync(user("bob"));
      Token token = token("alice1", clock.instant(), LIFE);
      callsOf("alice").last().complete(token);

      assertThat(cache.token(user("alice"))).isSameAs(token);
      assertThat(callsOf("alice").count()).isEqualTo(1);
      cache.tokenAsync(user("bob"));
      assertThat(callsOf("bob").count()).as("made room").isEqualTo(2);
    }
  }

  @Test
  void evictedUserDoesNotReturnWithoutNewToken() {
    try (TokenCache cache = cache(1)) {
      warm(cache, "alice");
      clock.advance(LIFE.dividedBy(2));
      use(cache, "alice");
      Token kept = warm(cache, "bob");
      callsOf("alice").last().completeExceptionally(Status.UNAVAILABLE.asRuntimeException());

      assertThat(cache.token(user("bob"))).isSameAs(kept);
      assertThat(callsOf("bob").count()).isEqualTo(1);
    }
  }

  @Test
  void evictedUserDoesNotReturnAfterClose() {
    TokenCache cache = cache(1);
    CompletableFuture<Token> waiting = cache.tokenAsync(user("alice"));
    cache.tokenAsync(user("bob"));
    cache.close();
    callsOf("alice").last().complete(token("alice1", clock.instant(), LIFE));

    assertThat(waiting).isCompletedExceptionally();
    assertThatExceptionOfType(TokendException.class).isThrownBy(() -> cache.token(user("alice")));
  }

  @Test
  void closingWakesAllWaitingCallers() {
    TokenCache cache = cache(1);
    CompletableFuture<Token> leaving = cache.tokenAsync(user("alice"));
    CompletableFuture<Token> held = cache.tokenAsync(user("bob"));

    cache.close();

    assertThat(leaving).isCompletedExceptionally();
    assertThat(held).isCompletedExceptionally();
    assertThat(callsOf("alice").last()).isCancelled();
    assertThat(callsOf("bob").last()).isCancelled();
  }

  @Test
  void closingEndsEvictedSources() {
    TokenCache cache = cache(1);
    warm(cache, "alice");
    CachedTokenSource alice = cache.source(user("alice"));
    warm(cache, "bob");
    CachedTokenSource bob = cache.source(user("bob"));
    warm(cache, "carol");
    clock.advance(LIFE);
    CompletableFuture<Token> waiting = bob.tokenAsync();

    cache.close();

    assertThat(alice.tokenAsync()).isCompletedExceptionally();
    assertThat(waiting).isCompletedExceptionally();
    assertThat(callsOf("bob").last()).isCancelled();
    assertThat(callsOf("alice").count()).isEqualTo(1);
  }

  @Test
  void closedCacheReturnsNoToken() {
    TokenCache cache = cache(10);
    warm(cache, "alice");
    cache.close();

    assertThatExceptionOfType(TokendException.class).isThrownBy(() -> cache.token(user("alice")));
    assertThatExceptionOfType(TokendException.class).isThrownBy(() -> cache.source(user("bob")));
  }

  @Test
  void maxUsersMustBePositive() {
    assertThatIllegalArgumentException().isThrownBy(() -> cache(0)).withMessage("maxUsers must be positive: 0");
  }

  private void refuse(TokenCache cache, String name) {
    CompletableFuture<Token> token = cache.tokenAsync(user(name));
    callsOf(name).last().completeExceptionally(TokendException.local(Status.Code.PERMISSION_DENIED, "no", null));
    assertThat(token).isCompletedExceptionally();
  }

  @Test
  void rejectedUsersDoNotEvictUsersWithTokens() {
    TokenCache cache = cache(3);
    Token alice = warm(cache, "alice");
    Token bob = warm(cache, "bob");

    for (int i = 0; i < 100; i++) {
      clock.advance(Duration.ofMillis(1));
      refuse(cache, "refused" + i);
    }

    assertThat(cache.token(user("alice"))).isSameAs(alice);
    assertThat(cache.token(user("bob"))).isSameAs(bob);
  }

  @Test
  void userWithTokenAfterRejectionIsEvictedLikeOthers() {
    TokenCache cache = cache(2);
    refuse(cache, "alice");
    clock.advance(Duration.ofSeconds(60));
    Token alice = warm(cache, "alice");
    warm(cache, "bob");
    use(cache, "alice");

    warm(cache, "carol");

    assertThat(cache.token(user("alice"))).isSameAs(alice);
    assertThat(cache.source(user("bob")).current()).isEmpty();
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void userWithoutTokenIsEvictedFirst(boolean isRejected) {
    TokenCache cache = cache(3);
    for (String name : new String[] {"alice", "bob"}) {
      warm(cache, name);
    }
    clock.advance(Duration.ofMillis(1));
    cache.tokenAsync(user("carol"));
    Token carol = token("carol", clock.instant(), Duration.ofSeconds(10));
    callsOf("carol").last().complete(carol);
    warm(cache, "dave"); // evicts alice; by now, all others have been seen with a token

    if (isRejected) {
      cache.invalidate(user("carol"), carol);
    } else {
      clock.advance(Duration.ofSeconds(10));
      refuse(cache, "carol");
    }
    warm(cache, "erin");

    for (String kept : new String[] {"bob", "dave", "erin"}) {
      assertThat(cache.tokenAsync(user(kept))).as(kept).isCompleted();
      assertThat(callsOf(kept).count()).as(kept).isEqualTo(1);
    }
    assertThat(cache.source(user("carol")).current()).isEmpty();
  }

  @Test
  void rejectedTokenIsInvalidated() {
    TokenCache cache = cache(10);
    Token alice = warm(cache, "alice");
    Token bob = warm(cache, "bob");

    cache.invalidate(user("alice"), alice);
    cache.invalidate(user("bob"), alice);
    cache.invalidate(user("unknown"), alice);

    assertThat(cache.source(user("alice")).current()).isEmpty();
    assertThat(cache.source(user("bob")).current()).contains(bob);
    assertThat(callsOf("unknown").count()).isZero();
  }

  @Test
  void callbackOfCloseMayUseCacheFromAnotherThread() throws Exception {
    TokenCache cache = cache(10);
    ExecutorService another = Executors.newSingleThreadExecutor();
    try {
      CompletableFuture<Throwable> seen = new CompletableFuture<>();
      CompletableFuture<Token> waiting = cache.tokenAsync(user("alice"));
      waiting.whenComplete(
          (token, failure) -> {
            try {
              another.submit(() -> cache.source(user("bob"))).get(10, TimeUnit.SECONDS);
            } catch (ExecutionException | TimeoutException | InterruptedException e) {
              seen.complete(e);
            }
          });

      cache.close();

      assertThat(seen.get(20, TimeUnit.SECONDS))
          .isInstanceOf(ExecutionException.class)
          .hasCauseInstanceOf(TokendException.class);
    } finally {
      another.shutdownNow();
    }
  }
}
