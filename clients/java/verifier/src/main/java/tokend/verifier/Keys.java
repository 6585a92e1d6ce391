package tokend.verifier;

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

/** How keys are kept. */
final class Keys {
  private static final long KEPT = Duration.ofMinutes(5).toMillis();
  private static final long FETCHED_AHEAD = Duration.ofMinutes(1).toMillis();
  private static final long LONGEST_WAIT = Duration.ofSeconds(15).toMillis();
  private static final long BETWEEN_FETCHES = Duration.ofSeconds(10).toMillis();
  private static final long OUTAGE = Duration.ofDays(1).toMillis();

  private Keys() {}

  static JWKSource<SecurityContext> of(IssuerKeys fetched) {
    JWKSource<SecurityContext> kept = kept(fetched);
    return (selector, context) -> {
      try {
        return kept.get(selector, context);
      } catch (RateLimitReachedException e) {
        if (fetched.haveFailed()) {
          throw e;
        }
        return List.of(); // the issuer was asked a moment ago, and has no such key
      }
    };
  }

  private static JWKSource<SecurityContext> kept(JWKSetSource<SecurityContext> fetched) {
    return JWKSourceBuilder.create(fetched)
        .cache(KEPT, LONGEST_WAIT)
        .refreshAheadCache(FETCHED_AHEAD, event -> {}, background(), true, null, false)
        .rateLimited(BETWEEN_FETCHES)
        .retrying(true)
        .outageTolerant(OUTAGE)
        .build();
  }

  /** A thread that ends when it is idle and keeps no process alive, as Nimbus's own does. */
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
