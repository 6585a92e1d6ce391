package tokend.client;

import io.opentelemetry.api.OpenTelemetry;
import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.api.metrics.LongCounter;
import io.opentelemetry.api.metrics.LongUpDownCounter;
import io.opentelemetry.api.metrics.Meter;
import org.jspecify.annotations.Nullable;

/** Counts through OpenTelemetry's API. */
final class OpenTelemetryMetrics implements ClientMetrics {
  private static final AttributeKey<String> ERROR_TYPE = AttributeKey.stringKey("error.type");

  private final LongCounter refreshes;
  private final LongCounter staleTokens;
  private final LongUpDownCounter users;
  private final LongCounter evictions;

  OpenTelemetryMetrics(OpenTelemetry openTelemetry) {
    Meter meter =
        openTelemetry
            .getMeterProvider()
            .meterBuilder("tokend.client")
            .setInstrumentationVersion(Telemetry.VERSION)
            .build();
    refreshes =
        meter
            .counterBuilder("tokend.client.refreshes")
            .setUnit("{refresh}")
            .setDescription("Finished refreshes; error.type is the cause of a failed one")
            .build();
    staleTokens =
        meter
            .counterBuilder("tokend.client.stale_tokens")
            .setUnit("{token}")
            .setDescription("Tokens returned after their refresh time")
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
            .setDescription("Users evicted from a full cache")
            .build();
  }

  @Override
  public void refreshed(@Nullable TokendException failure) {
    refreshes.add(1, failure == null ? Attributes.empty() : Attributes.of(ERROR_TYPE, failure.errorType()));
  }

  @Override
  public void staleToken() {
    staleTokens.add(1);
  }

  @Override
  public void usersChanged(long by) {
    users.add(by);
  }

  @Override
  public void evicted() {
    evictions.add(1);
  }
}
