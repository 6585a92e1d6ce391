package tokend.client;

import java.time.Duration;
import java.time.Instant;
import java.util.concurrent.TimeUnit;

/**
 * A token that arrived, and the ages at which it changes its state, in milliseconds.
 *
 * @param token the token
 * @param arrival when it arrived
 * @param freshFor the age from which it should be refreshed
 * @param usableFor the age from which it is no longer returned
 */
record Holding(Token token, Reading arrival, long freshFor, long usableFor) {
  private static final double MAX_JITTER = 0.1;
  private static final int SKEW_DIVISOR = 10;

  /** A minimum, so that a server that returns an old token is not called for each request. */
  private static final long MIN_FRESH = 1000;

  /**
   * Computes when a token changes its state. If the server sends no issue time, its times are compared with the wall
   * clock.
   *
   * @param draw the fraction of the jitter to apply, 0 to 1
   */
  static Holding of(Token token, Reading arrival, Duration skew, double draw) {
    Instant sent = token.issueTime();
    Instant issued = sent != null ? sent : Instant.ofEpochMilli(arrival.wallMillis());
    long life = Math.max(0, Duration.between(issued, token.expireTime()).toMillis());
    long usableFor = life - Math.min(TimeUnit.MILLISECONDS.convert(skew), life / SKEW_DIVISOR);
    long untilRefresh = Math.max(0, Duration.between(issued, token.refreshTime()).toMillis());
    long jittered = untilRefresh - (long) (untilRefresh * MAX_JITTER * draw);
    return new Holding(token, arrival, Math.max(Math.min(jittered, usableFor), MIN_FRESH), usableFor);
  }

  boolean isFresh(Reading now) {
    return now.millisSince(arrival) < freshFor;
  }

  boolean isExpired(Reading now) {
    return now.millisSince(arrival) >= usableFor;
  }
}
