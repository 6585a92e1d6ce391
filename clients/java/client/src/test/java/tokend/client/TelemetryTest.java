package tokend.client;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import io.grpc.Status;
import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.sdk.OpenTelemetrySdk;
import io.opentelemetry.sdk.metrics.SdkMeterProvider;
import io.opentelemetry.sdk.metrics.data.LongPointData;
import io.opentelemetry.sdk.metrics.data.MetricData;
import io.opentelemetry.sdk.testing.exporter.InMemoryMetricReader;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.logging.Handler;
import java.util.logging.Level;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import java.util.logging.SimpleFormatter;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class TelemetryTest {
  private static final Duration LIFE = Duration.ofMinutes(15);
  private static final Logger LOGGER = Logger.getLogger("tokend.client");

  private final ManualClock clock = new ManualClock();
  private final InMemoryMetricReader reader = InMemoryMetricReader.create();
  private final Telemetry telemetry =
      new Telemetry(
          List.of(
              new Failing(),
              new OpenTelemetryMetrics(
                  OpenTelemetrySdk.builder()
                      .setMeterProvider(SdkMeterProvider.builder().registerMetricReader(reader).build())
                      .build())));
  private final Refreshes refreshes = new Refreshes(telemetry);
  private final FakeCalls calls = new FakeCalls();
  private final TokenCache cache =
      new TokenCache(
          request -> new CachedTokenSource(request, calls, clock.policy(), refreshes), clock.policy(), 2, telemetry);
  private final Lines lines = new Lines();

  /** The log lines with their levels. */
  private static final class Lines extends Handler {
    final List<String> seen = new ArrayList<>();

    @Override
    public synchronized void publish(LogRecord line) {
      if (line.getThrown() == null) {
        seen.add(line.getLevel() + " " + new SimpleFormatter().formatMessage(line));
      }
    }

    @Override
    public void flush() {}

    @Override
    public void close() {}
  }

  /** An implementation that always fails, which must affect neither callers nor other implementations. */
  private static final class Failing implements ClientMetrics {
    @Override
    public void refreshed(@Nullable TokendException failure) {
      throw new IllegalStateException();
    }

    @Override
    public void staleToken() {
      throw new IllegalStateException();
    }

    @Override
    public void usersChanged(long by) {
      throw new IllegalStateException();
    }

    @Override
    public void evicted() {
      throw new IllegalStateException();
    }
  }

  @BeforeEach
  void listen() {
    LOGGER.setLevel(Level.ALL);
    LOGGER.addHandler(lines);
  }

  @AfterEach
  void stopListening() {
    LOGGER.removeHandler(lines);
    LOGGER.setLevel(null);
  }

  private static TokenRequest user(String name) {
    return TokenRequest.of("pool", "provider", name);
  }

  private void bring(String user) {
    var asked = cache.tokenAsync(user(user));
    calls.last().complete(FakeCalls.token(user, clock.instant(), LIFE));
    assertThat(asked).isCompleted();
  }

  private void fail(String user, Status.Code code) {
    var asked = cache.tokenAsync(user(user));
    calls.last().completeExceptionally(TokendException.local(code, "why", null));
    assertThat(asked).isCompletedExceptionally();
  }

  private Map<String, Long> counted() {
    Map<String, Long> sums = new HashMap<>();
    for (MetricData metric : reader.collectAllMetrics()) {
      for (LongPointData point : metric.getLongSumData().getPoints()) {
        String type = point.getAttributes().get(AttributeKey.stringKey("error.type"));
        String name = metric.getName().replace("tokend.client.", "");
        sums.put(type == null ? name : name + " " + type, point.getValue());
      }
    }
    return sums;
  }

  @Test
  void allMetricsAreCounted() {
    bring("alice");
    cache.token(user("alice"));
    clock.advance(LIFE.dividedBy(2));
    cache.token(user("alice"));
    calls.last().complete(FakeCalls.token("another", clock.instant(), LIFE));
    bring("bob");
    fail("carol", Status.Code.UNAVAILABLE);

    assertThat(counted())
        .containsExactlyInAnyOrderEntriesOf(
            Map.of(
                "refreshes", 3L,
                "refreshes UNAVAILABLE", 1L,
                "stale_tokens", 1L,
                "cache.users", 2L,
                "cache.evictions", 1L));
    cache.close();
    assertThat(counted()).containsEntry("cache.users", 0L);
  }

  @Test
  void failureIsLoggedWithSourceAndNextAttempt() {
    fail("alice", Status.Code.UNAVAILABLE);
    clock.advance(Duration.ofSeconds(10));
    fail("alice", Status.Code.UNAVAILABLE);
    clock.advance(Duration.ofSeconds(10));
    bring("alice");

    assertThat(lines.seen)
        .containsExactly(
            "WARNING no token for a user of provider in pool: UNAVAILABLE: why; the next attempt is in 0.5 s",
            "FINE no token for a user of provider in pool: UNAVAILABLE: why; the next attempt is in 1.0 s",
            "INFO there are tokens for a user of provider in pool again");
  }

  @Test
  void simultaneousFailuresAreOneWarningPerSecond() {
    for (int number = 0; number < 20; number++) {
      fail("user-" + number, Status.Code.UNAVAILABLE);
      clock.advance(Duration.ofMillis(125));
    }

    assertThat(lines.seen).filteredOn(line -> line.startsWith("WARNING")).hasSize(3);
  }

  @Test
  void closingIsNotCountedAsFailure() {
    cache.tokenAsync(user("alice"));
    cache.close();

    assertThat(counted()).doesNotContainKey("refreshes CANCELLED");
    assertThatExceptionOfType(TokendException.class).isThrownBy(() -> cache.token(user("alice")));
  }
}
