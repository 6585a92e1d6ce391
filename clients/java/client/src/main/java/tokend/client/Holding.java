package tokend.client;

import java.time.Duration;
import java.time.Instant;
import java.util.concurrent.TimeUnit;

/**
 * A token that arrived, and the ages at which it changes its state, in milliseconds.
 *
 * @param token the token
 * @param arrival when it arrived
 * @param freshFor from that age on it is to be refreshed
 * @param usableFor from that age on it is not handed out any more
 */
record Holding(Token token, Reading arrival, long freshFor, long usableFor) {
  private static final double MOST_JITTER = 0.1;
  private static final int LIFE_TO_SKEW = 10;

  /** A server that answers with an old token is not called at every ask. */
  private static final long LEAST_FRESH = 1000;

  /**
   * Decides when a token changes its state. The times of a server that sends no issue time are compared with the wall
   * clock.
   *
   * @param draw 0 to 1: how much of the jitter is taken
   */
  static Holding of(Token token, Reading arrival, Duration skew, double draw) {
    Instant sent = token.issueTime();
    Instant issued = sent != null ? sent : Instant.ofEpochMilli(arrival.wallMillis());
    long life = Math.max(0, Duration.between(issued, token.expireTime()).toMillis());
    long usableFor = life - Math.min(TimeUnit.MILLISECONDS.convert(skew), life / LIFE_TO_SKEW);
    long untilRefresh = Math.max(0, Duration.between(issued, token.refreshTime()).toMillis());
    long jittered = untilRefresh - (long) (untilRefresh * MOST_JITTER * draw);
    return new Holding(token, arrival, Math.max(Math.min(jittered, usableFor), LEAST_FRESH), usableFor);
  }

  boolean isFresh(Reading now) {
    return now.millisSince(arrival) < freshFor;
  }

  boolean isExpired(Reading now) {
    return now.millisSince(arrival) >= usableFor;
  }
}
