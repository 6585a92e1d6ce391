package tokend.client;

import java.time.Duration;
import java.time.Instant;

/**
 * A snapshot that arrived, and the times at which it changes its state, in milliseconds since the epoch.
 *
 * @param snapshot the snapshot
 * @param staleAt from then on it is to be refreshed
 * @param expiredAt from then on it is not handed out any more
 */
record Holding(TokenSnapshot snapshot, long staleAt, long expiredAt) {
  private static final double MOST_JITTER = 0.1;
  private static final int LIFE_TO_SKEW = 10;

  /**
   * Decides when a snapshot changes its state.
   *
   * @param draw 0 to 1: how much of the jitter is taken
   */
  static Holding of(TokenSnapshot snapshot, Instant arrival, Duration skew, double draw) {
    long untilRefresh = Math.max(0, Duration.between(arrival, snapshot.refreshTime()).toMillis());
    long staleAt = snapshot.refreshTime().toEpochMilli() - (long) (untilRefresh * MOST_JITTER * draw);
    long life = Math.max(0, Duration.between(arrival, snapshot.expireTime()).toMillis());
    long expiredAt = snapshot.expireTime().toEpochMilli() - Math.min(skew.toMillis(), life / LIFE_TO_SKEW);
    return new Holding(snapshot, Math.min(staleAt, expiredAt), expiredAt);
  }

  boolean isFresh(long now) {
    return now < staleAt;
  }

  boolean isExpired(long now) {
    return now >= expiredAt;
  }
}
