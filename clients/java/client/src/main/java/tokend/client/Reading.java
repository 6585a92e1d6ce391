package tokend.client;

/**
 * What both clocks show at a moment.
 *
 * @param wallMillis of the wall clock, in milliseconds since the epoch
 * @param nanoTime of the monotonic clock, in nanoseconds since any moment
 */
record Reading(long wallMillis, long nanoTime) {
  private static final long NANOS_PER_MILLI = 1_000_000;

  /** How old something is that was there at an earlier reading: the greater of what both clocks say. */
  long millisSince(Reading earlier) {
    return Math.max(wallMillis - earlier.wallMillis, monotonicMillisSince(earlier));
  }

  /** What the monotonic clock says, which is never set. */
  long monotonicMillisSince(Reading earlier) {
    return (nanoTime - earlier.nanoTime) / NANOS_PER_MILLI;
  }
}
