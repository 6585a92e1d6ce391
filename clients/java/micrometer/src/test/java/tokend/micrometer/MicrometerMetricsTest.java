package tokend.micrometer;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import tokend.client.CachingPolicy;
import tokend.client.Client;
import tokend.client.ErrorReason;
import tokend.client.TokenCache;
import tokend.client.TokenRequest;
import tokend.client.TokendException;
import tokend.client.testing.Failure;
import tokend.client.testing.FakeTokendServer;

class MicrometerMetricsTest {
  private final FakeTokendServer server = FakeTokendServer.start();
  private final SimpleMeterRegistry registry = new SimpleMeterRegistry();
  private final Client client = server.clientBuilder().metrics(new MicrometerMetrics(registry)).build();

  @AfterEach
  void stop() {
    client.close();
    server.close();
  }

  private static TokenRequest user(String name) {
    return TokenRequest.of(FakeTokendServer.IDENTITY_POOL_ID, FakeTokendServer.DEVELOPER_PROVIDER_NAME, name);
  }

  private double refreshes(String errorType) {
    return registry.get("tokend.client.refreshes").tag("error.type", errorType).counter().count();
  }

  @Test
  void refreshesUsersAndEvictionsAreCounted() {
    try (TokenCache cache = client.tokenCache(CachingPolicy.defaults(), 1)) {
      cache.token(user("alice"));
      cache.token(user("alice"));
      cache.token(user("bob"));

      assertThat(refreshes("none")).isEqualTo(2);
      assertThat(registry.get("tokend.client.cache.users").gauge().value()).isEqualTo(1);
      assertThat(registry.get("tokend.client.cache.evictions").counter().count()).isEqualTo(1);
      assertThat(registry.get("tokend.client.stale_tokens").counter().count()).isZero();
    }
    assertThat(registry.get("tokend.client.cache.users").gauge().value()).isZero();
  }

  @Test
  void failedRefreshIsCountedByReason() {
    server.failNext(Failure.of(ErrorReason.NOT_AUTHORIZED));
    try (TokenCache cache = client.tokenCache()) {
      assertThatExceptionOfType(TokendException.class).isThrownBy(() -> cache.token(user("alice")));
    }

    assertThat(refreshes("NOT_AUTHORIZED")).isEqualTo(1);
    assertThat(refreshes("none")).isZero();
  }
}
