package tokend.client;

import java.time.Duration;
import java.time.Instant;
import java.util.concurrent.atomic.AtomicLong;

/** Both clocks of a client, which only tests advance. */
final class ManualClock {
  static final Instant START = Instant.parse("2026-11-22T12:00:00Z");

  // nanoTime may overflow.
  private static final long NANO_START = Long.MAX_VALUE - 1;

  private final AtomicLong nanoTime = new AtomicLong(NANO_START);
  private volatile Instant wall = START;

  CachingPolicy policy() {
    return CachingPolicy.defaults().withClocks(() -> wall, nanoTime::get).withRandom(new Draws(0));
  }

  /** The time of the wall clock. */
  Instant instant() {
    return wall;
  }

  Reading reading() {
    return new Reading(wall.toEpochMilli(), nanoTime.get());
  }

  /** Advances both clocks to a time of the wall clock. */
  void set(Instant instant) {
    advance(Duration.between(wall, instant));
  }

  /** Advances both clocks. */
  void advance(Duration duration) {
    moveWall(duration);
    nanoTime.addAndGet(duration.toNanos());
  }

  /** Advances only the wall clock. */
  void moveWall(Duration duration) {
    wall = wall.plus(duration);
  }
}
