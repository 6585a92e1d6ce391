package tokend.client;

import io.opentelemetry.api.OpenTelemetry;
import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.api.metrics.LongCounter;
import io.opentelemetry.api.metrics.LongUpDownCounter;
import io.opentelemetry.api.metrics.Meter;
import java.util.Locale;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;

/** What a client counts and logs, for those who operate the service that it is in. */
final class Telemetry {
  /** That of the artifact. */
  static final String VERSION = "0.1.0";

  /** Nothing is counted. */
  static final Telemetry NONE = new Telemetry(OpenTelemetry.noop());

  private static final AttributeKey<String> ERROR_TYPE = AttributeKey.stringKey("error.type");
  private static final long BETWEEN_WARNINGS = 1000;
  private static final System.Logger LOGGER = System.getLogger("tokend.client");

  private final LongCounter refreshes;
  private final LongCounter staleTokens;
  private final LongUpDownCounter users;
  private final LongCounter evictions;
  private final AtomicReference<@Nullable Reading> lastWarning = new AtomicReference<>();

  Telemetry(OpenTelemetry openTelemetry) {
    Meter meter =
        openTelemetry.getMeterProvider().meterBuilder("tokend.client").setInstrumentationVersion(VERSION).build();
    refreshes =
        meter
            .counterBuilder("tokend.client.refreshes")
            .setUnit("{refresh}")
            .setDescription("Refreshes that have ended; error.type says why one failed")
            .build();
    staleTokens =
        meter
            .counterBuilder("tokend.client.stale_tokens")
            .setUnit("{token}")
            .setDescription("Tokens handed out past their refresh time")
            .build();
    users =
        meter
            .upDownCounterBuilder("tokend.client.cache.users")
            .setUnit("{user}")
            .setDescription("Users in caches")
            .build();
    evictions =
        meter
            .counterBuilder("tokend.client.cache.evictions")
            .setUnit("{user}")
            .setDescription("Users who made room in a full cache")
            .build();
  }

  void refreshed(@Nullable TokendException failure) {
    if (failure == null) {
      refreshes.add(1);
    } else {
      String type = failure.reason().map(Object::toString).orElse(failure.code().name());
      refreshes.add(1, Attributes.of(ERROR_TYPE, type));
    }
  }

  void staleToken() {
    staleTokens.add(1);
  }

  void usersChanged(long by) {
    users.add(by);
  }

  void evicted() {
    users.add(-1);
    evictions.add(1);
  }

  /** Logs a failed refresh: the first one of a source as a warning, though not more than one each second. */
  void logFailure(TokenRequest request, TokendException failure, boolean isFirst, long delay, Reading now) {
    boolean warns = isFirst && mayWarn(now);
    LOGGER.log(
        warns ? System.Logger.Level.WARNING : System.Logger.Level.DEBUG,
        "no token for {0}: {1}; the next attempt is in {2} s",
        named(request),
        failure.getMessage(),
        String.format(Locale.ROOT, "%.1f", delay / 1000.0));
  }

  void logRecovery(TokenRequest request) {
    LOGGER.log(System.Logger.Level.INFO, "there are tokens for {0} again", named(request));
  }

  private boolean mayWarn(Reading now) {
    Reading last = lastWarning.get();
    boolean isTime = last == null || now.monotonicMillisSince(last) >= BETWEEN_WARNINGS;
    return isTime && lastWarning.compareAndSet(last, now);
  }

  private static String named(TokenRequest request) {
    String providers = String.join(", ", request.logins().keySet().stream().sorted().toList());
    return "a user of " + providers + " in " + request.identityPoolId();
  }
}
