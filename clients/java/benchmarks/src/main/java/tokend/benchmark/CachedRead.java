package tokend.benchmark;

import java.time.Duration;
import java.time.Instant;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Threads;
import org.openjdk.jmh.annotations.Warmup;
import tokend.client.CachedTokenSource;
import tokend.client.CachingPolicy;
import tokend.client.Client;
import tokend.client.ErrorReason;
import tokend.client.Token;
import tokend.client.TokenCache;
import tokend.client.TokenRequest;
import tokend.client.testing.Failure;
import tokend.client.testing.FakeTokendServer;

/** Reads of cached tokens, by 64 threads at full speed. */
@State(Scope.Benchmark)
@Threads(64)
@Fork(3)
@Warmup(iterations = 3, time = 2)
@Measurement(iterations = 5, time = 2)
@BenchmarkMode(Mode.Throughput)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
public class CachedRead {
  private static final int USERS = 1000;

  private final TokenRequest[] requests = new TokenRequest[USERS];
  private FakeTokendServer server;
  private CachedTokenSource fresh;
  private CachedTokenSource stale;
  private TokenCache cache;

  private static TokenRequest request(int user) {
    return TokenRequest.builder(FakeTokendServer.IDENTITY_POOL_ID)
        .login(FakeTokendServer.DEVELOPER_PROVIDER_NAME, "user-" + user)
        .tokenDuration(Duration.ofHours(24))
        .build();
  }

  @Setup
  public void warm() {
    server = FakeTokendServer.start();
    Client client = server.client();
    fresh = client.tokenSource(request(0));
    fresh.token();
    cache = client.tokenCache();
    for (int user = 0; user < USERS; user++) {
      cache.token(request(user));
      // Equal to the key, but another object: each caller creates its own request.
      requests[user] = request(user);
    }
    makeStale(client);
  }

  /** A stale token, and a back-off by a stopped clock. */
  private void makeStale(Client client) {
    Instant[] now = {Instant.now()};
    stale = client.tokenSource(request(0), CachingPolicy.defaults().withClocks(() -> now[0], () -> 0));
    now[0] = stale.token().refreshTime();
    server.fail(Failure.of(ErrorReason.TOO_MANY_REQUESTS));
    stale.token();
    stale.idle().join();
  }

  @TearDown
  public void close() {
    server.close();
  }

  @Benchmark
  public Token freshOfSource() {
    return fresh.token();
  }

  @Benchmark
  public Token freshOfCache() {
    return cache.token(requests[ThreadLocalRandom.current().nextInt(USERS)]);
  }

  @Benchmark
  public Token staleOfSource() {
    return stale.token();
  }
}
