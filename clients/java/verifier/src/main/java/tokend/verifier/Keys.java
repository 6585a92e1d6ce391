package tokend.verifier;

import com.nimbusds.jose.KeySourceException;
import com.nimbusds.jose.jwk.JWK;
import com.nimbusds.jose.jwk.JWKSelector;
import com.nimbusds.jose.jwk.JWKSet;
import com.nimbusds.jose.jwk.source.JWKSetBasedJWKSource;
import com.nimbusds.jose.jwk.source.JWKSetCacheRefreshEvaluator;
import com.nimbusds.jose.jwk.source.JWKSetSource;
import com.nimbusds.jose.jwk.source.JWKSource;
import com.nimbusds.jose.jwk.source.JWKSourceBuilder;
import com.nimbusds.jose.jwk.source.RateLimitReachedException;
import com.nimbusds.jose.proc.SecurityContext;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;

/** The cache of the issuer's keys. */
final class Keys {
  private static final long TIME_TO_LIVE = Duration.ofMinutes(5).toMillis();
  private static final long REFRESH_AHEAD = Duration.ofMinutes(1).toMillis();
  private static final long REFRESH_TIMEOUT = Duration.ofSeconds(15).toMillis();
  private static final long MIN_FETCH_INTERVAL = Duration.ofSeconds(10).toMillis();
  private static final long OUTAGE_TIME_TO_LIVE = Duration.ofDays(1).toMillis();

  private Keys() {}

  static JWKSource<SecurityContext> of(IssuerKeys fetched) {
    long start = System.currentTimeMillis();
    long started = System.nanoTime();
    return of(fetched, () -> start + TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - started));
  }

  /**
   * Limits fetches by the monotonic clock. Nimbus's own rate limit uses the wall clock: if it is set back by an hour,
   * no keys are fetched for that hour.
   */
  static JWKSource<SecurityContext> of(IssuerKeys fetched, LongSupplier millis) {
    JWKSetSource<SecurityContext> cached = cached(fetched);
    return (selector, context) -> {
      try {
        return select(cached, selector, millis.getAsLong(), context);
      } catch (RateLimitReachedException e) {
        if (fetched.hasFailed()) {
          throw e;
        }
        return List.of(); // the key set was fetched a moment ago and does not contain the key
      }
    };
  }

  /** Fetches a newer key set if a key is missing, as {@link JWKSetBasedJWKSource} does. */
  private static List<JWK> select(
      JWKSetSource<SecurityContext> cached, JWKSelector selector, long now, @Nullable SecurityContext context)
      throws KeySourceException {
    JWKSet keys = cached.getJWKSet(JWKSetCacheRefreshEvaluator.noRefresh(), now, context);
    List<JWK> selected = selector.select(keys);
    return selected.isEmpty()
        ? selector.select(cached.getJWKSet(JWKSetCacheRefreshEvaluator.referenceComparison(keys), now, context))
        : selected;
  }

  private static JWKSetSource<SecurityContext> cached(JWKSetSource<SecurityContext> fetched) {
    JWKSource<SecurityContext> built =
        JWKSourceBuilder.create(fetched)
            .cache(TIME_TO_LIVE, REFRESH_TIMEOUT)
            .refreshAheadCache(REFRESH_AHEAD, event -> {}, background(), true, null, false)
            .rateLimited(MIN_FETCH_INTERVAL)
            .retrying(true)
            .outageTolerant(OUTAGE_TIME_TO_LIVE)
            .build();
    return ((JWKSetBasedJWKSource<SecurityContext>) built).getJWKSetSource();
  }

  /** Creates a daemon thread that ends when it is idle, like Nimbus's own. */
  private static ExecutorService background() {
    return new ThreadPoolExecutor(
        0,
        1,
        10,
        TimeUnit.SECONDS,
        new LinkedBlockingQueue<>(),
        work -> {
          Thread thread = new Thread(work, "tokend-verifier-keys");
          thread.setDaemon(true);
          return thread;
        });
  }
}
