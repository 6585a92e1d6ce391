package tokend.micrometer;

import io.micrometer.core.instrument.Counter;
import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.Tag;
import io.micrometer.core.instrument.Tags;
import java.util.Objects;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;
import tokend.client.ClientMetrics;
import tokend.client.TokendException;

/**
 * Counts the events of a client in a Micrometer registry. The names are the same in all tokend clients. {@code
 * tokend.client.refreshes} always has the tag {@code error.type}, which is {@code none} for a successful refresh, since
 * all meters of a name must have the same tags.
 */
public final class MicrometerMetrics implements ClientMetrics {
  private static final String ERROR_TYPE = "error.type";
  private static final String NO_ERROR = "none";

  private final MeterRegistry registry;
  private final Tags tags;
  private final Counter staleTokens;
  private final Counter evictions;
  private final AtomicLong users = new AtomicLong();

  /**
   * Creates metrics in a registry.
   *
   * @param registry the registry
   */
  public MicrometerMetrics(MeterRegistry registry) {
    this(registry, Tags.empty());
  }

  /**
   * Creates metrics in a registry with additional tags, to distinguish several clients.
   *
   * @param registry the registry
   * @param tags the tags of all meters
   */
  public MicrometerMetrics(MeterRegistry registry, Iterable<Tag> tags) {
    this.registry = Objects.requireNonNull(registry, "registry");
    this.tags = Tags.of(tags);
    refreshes(NO_ERROR);
    staleTokens =
        Counter.builder("tokend.client.stale_tokens")
            .description("Tokens returned after their refresh time")
            .tags(this.tags)
            .register(registry);
    evictions =
        Counter.builder("tokend.client.cache.evictions")
            .description("Users evicted from a full cache")
            .tags(this.tags)
            .register(registry);
    Gauge.builder("tokend.client.cache.users", users, AtomicLong::doubleValue)
        .description("Users in caches")
        .tags(this.tags)
        .strongReference(true)
        .register(registry);
  }

  @Override
  public void refreshed(@Nullable TokendException failure) {
    refreshes(failure == null ? NO_ERROR : failure.errorType()).increment();
  }

  @Override
  public void staleToken() {
    staleTokens.increment();
  }

  @Override
  public void usersChanged(long by) {
    users.addAndGet(by);
  }

  @Override
  public void evicted() {
    evictions.increment();
  }

  private Counter refreshes(String errorType) {
    return Counter.builder("tokend.client.refreshes")
        .description("Finished refreshes; error.type is the cause of a failed one")
        .tags(tags.and(ERROR_TYPE, errorType))
        .register(registry);
  }
}
