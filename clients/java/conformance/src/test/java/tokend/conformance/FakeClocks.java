package tokend.conformance;

import java.time.Duration;
import java.time.Instant;
import java.util.concurrent.atomic.AtomicLong;
import tokend.client.CachingPolicy;

/** Both clocks of a client, which only tests advance. */
final class FakeClocks {
  private final AtomicLong nanoTime = new AtomicLong();
  private volatile Instant wall = Instant.now();

  CachingPolicy policy() {
    return CachingPolicy.defaults().withClocks(() -> wall, nanoTime::get);
  }

  long nanoTime() {
    return nanoTime.get();
  }

  void advance(Duration by) {
    moveWall(by);
    nanoTime.addAndGet(by.toNanos());
  }

  void moveWall(Duration by) {
    wall = wall.plus(by);
  }
}
