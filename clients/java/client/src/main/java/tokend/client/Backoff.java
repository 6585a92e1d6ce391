package tokend.client;

import java.time.Duration;
import org.jspecify.annotations.Nullable;

/**
 * When the next refresh may start after a failed one. Immutable; delays are in milliseconds.
 *
 * @param failures how many refreshes have failed in a row
 * @param failure the last failure, or null
 * @param since when the last refresh failed
 * @param delay how long no refresh starts while there is a usable token
 * @param delayWithoutToken the same while there is no usable token: calls are failing
 * @param successes how many refreshes of the client had succeeded at the time of the failure
 */
record Backoff(
    int failures,
    @Nullable TokendException failure,
    Reading since,
    long delay,
    long delayWithoutToken,
    long successes) {

  static final Backoff NONE = new Backoff(0, null, new Reading(0, 0), 0, 0, 0);

  private static final long FIRST = 1000;
  private static final long MAX = 60_000;
  private static final long MAX_WITHOUT_TOKEN = 2000;
  private static final int MAX_DOUBLINGS = 6;

  /**
   * Returns the back-off after one more failure: tokend's retry delay, up to a minute, or 1 second, doubling, drawn
   * from the upper half.
   *
   * @param draw the position in the upper half, 0 to 1
   */
  Backoff after(TokendException why, Reading now, double draw, long successesSoFar) {
    Duration asked = why.retryDelay().orElse(Duration.ZERO);
    if (!asked.isZero()) {
      long capped = Math.min(asked.toMillis(), MAX);
      return new Backoff(failures + 1, why, now, capped, capped, successesSoFar);
    }
    long doubled = FIRST << Math.min(failures, MAX_DOUBLINGS);
    return new Backoff(
        failures + 1,
        why,
        now,
        jittered(Math.min(doubled, MAX), draw),
        jittered(Math.min(doubled, MAX_WITHOUT_TOKEN), draw),
        successesSoFar);
  }

  /**
   * Reports whether a refresh may start. A success of any refresh of the client shows that tokend is available again:
   * it ends a back-off after a failure without a reason.
   *
   * @param isUsable whether there is a usable token
   */
  boolean isOver(Reading now, boolean isUsable, long successesSoFar) {
    if (failure == null || (failure.reason().isEmpty() && successes != successesSoFar)) {
      return true;
    }
    return now.monotonicMillisSince(since) >= (isUsable ? delay : delayWithoutToken);
  }

  private static long jittered(long most, double draw) {
    return most - (long) (most * 0.5 * (1 - draw));
  }
}
