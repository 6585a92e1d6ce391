package tokend.client;

import java.time.Duration;

/** When the next refresh may start after one that failed. */
final class Backoff {
  private static final Duration FIRST = Duration.ofSeconds(1);
  private static final Duration LONGEST = Duration.ofSeconds(60);
  private static final int DOUBLINGS_TO_LONGEST = 6;

  private Backoff() {}

  /**
   * How long to wait: what tokend says, or else 1 second, doubling to 60, drawn from the upper half.
   *
   * @param failures how many refreshes have failed in a row, this one included
   * @param draw 0 to 1: where in the upper half
   */
  static Duration after(TokendException failure, int failures, double draw) {
    return failure.retryDelay().orElseGet(() -> drawn(failures, draw));
  }

  private static Duration drawn(int failures, double draw) {
    int doublings = Math.min(failures - 1, DOUBLINGS_TO_LONGEST);
    long most = Math.min(FIRST.toMillis() << doublings, LONGEST.toMillis());
    return Duration.ofMillis(most - (long) (most * 0.5 * (1 - draw)));
  }
}
