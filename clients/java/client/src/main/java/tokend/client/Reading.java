package tokend.client;

/**
 * The time of both clocks at one moment.
 *
 * @param wallMillis of the wall clock, in milliseconds since the epoch
 * @param nanoTime of the monotonic clock, in nanoseconds since an arbitrary moment
 */
record Reading(long wallMillis, long nanoTime) {
  private static final long NANOS_PER_MILLI = 1_000_000;

  /** Returns the time since an earlier reading: the greater of both clocks' measurements. */
  long millisSince(Reading earlier) {
    return Math.max(wallMillis - earlier.wallMillis, monotonicMillisSince(earlier));
  }

  /** Returns the time since an earlier reading by the monotonic clock, which is never set. */
  long monotonicMillisSince(Reading earlier) {
    return (nanoTime - earlier.nanoTime) / NANOS_PER_MILLI;
  }
}
