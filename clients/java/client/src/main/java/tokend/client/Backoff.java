package tokend.client;

import java.time.Duration;
import org.jspecify.annotations.Nullable;

/**
 * When the next refresh may start after one that failed. It never changes; delays are in milliseconds.
 *
 * @param failures how many refreshes have failed in a row
 * @param failure the last failure; null: there was none
 * @param since when the last one failed
 * @param delay how long no refresh starts while there is a token to hand out
 * @param delayWithoutToken the same while there is none: callers are failing
 * @param successes how many refreshes of the client had succeeded by then
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
  private static final long LONGEST = 60_000;
  private static final long LONGEST_WITHOUT_TOKEN = 2000;
  private static final int DOUBLINGS_TO_LONGEST = 6;

  /**
   * The back-off after one more failure: what tokend says, up to a minute, or else 1 second, doubling, drawn from the
   * upper half.
   *
   * @param draw 0 to 1: where in the upper half
   */
  Backoff after(TokendException why, Reading now, double draw, long successesSoFar) {
    Duration asked = why.retryDelay().orElse(Duration.ZERO);
    if (!asked.isZero()) {
      long capped = Math.min(asked.toMillis(), LONGEST);
      return new Backoff(failures + 1, why, now, capped, capped, successesSoFar);
    }
    long doubled = FIRST << Math.min(failures, DOUBLINGS_TO_LONGEST);
    return new Backoff(
        failures + 1,
        why,
        now,
        drawn(Math.min(doubled, LONGEST), draw),
        drawn(Math.min(doubled, LONGEST_WITHOUT_TOKEN), draw),
        successesSoFar);
  }

  /**
   * Whether a refresh may start. A success on the client shows that tokend is back. It ends a back-off that follows a
   * failure without a reason.
   *
   * @param isUsable whether there is a token to hand out
   */
  boolean isOver(Reading now, boolean isUsable, long successesSoFar) {
    if (failure == null || (failure.reason().isEmpty() && successes != successesSoFar)) {
      return true;
    }
    return now.monotonicMillisSince(since) >= (isUsable ? delay : delayWithoutToken);
  }

  private static long drawn(long most, double draw) {
    return most - (long) (most * 0.5 * (1 - draw));
  }
}
