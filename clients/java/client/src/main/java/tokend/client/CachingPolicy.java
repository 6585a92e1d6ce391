package tokend.client;

import java.time.Duration;
import java.time.InstantSource;
import java.util.Objects;
import java.util.concurrent.ThreadLocalRandom;
import java.util.function.LongSupplier;
import java.util.random.RandomGenerator;

/**
 * The settings of token sources and caches.
 *
 * @param skew how long before its expiry a token is no longer returned; at most a tenth of its lifetime
 * @param refreshTimeout the deadline of the calls that refresh tokens
 * @param clock the wall clock
 * @param nanoTime the monotonic clock, in nanoseconds since an arbitrary moment, as {@link System#nanoTime}
 * @param random the random numbers for jitter and back-off; must be thread-safe
 */
public record CachingPolicy(
    Duration skew,
    Duration refreshTimeout,
    InstantSource clock,
    LongSupplier nanoTime,
    RandomGenerator random) {

  /**
   * Creates a policy from all settings.
   *
   * @param skew how long before its expiry a token is no longer returned; not negative
   * @param refreshTimeout the deadline of refreshes; positive
   * @param clock the wall clock
   * @param nanoTime the monotonic clock
   * @param random the random numbers for jitter and back-off
   * @throws IllegalArgumentException when a duration is not within these limits
   */
  public CachingPolicy {
    if (Objects.requireNonNull(skew, "skew").isNegative()) {
      throw new IllegalArgumentException("skew must not be negative: " + skew);
    }
    ClientBuilder.requirePositive(refreshTimeout, "refreshTimeout");
    Objects.requireNonNull(clock, "clock");
    Objects.requireNonNull(nanoTime, "nanoTime");
    Objects.requireNonNull(random, "random");
  }


  /**
   * Returns the default policy: a skew of one minute, a refresh deadline of 3 seconds, the system's clocks and random
   * numbers.
   *
   * @return the policy
   */
  public static CachingPolicy defaults() {
    return new CachingPolicy(
        Duration.ofMinutes(1),
        Duration.ofSeconds(3),
        InstantSource.system(),
        System::nanoTime,
        () -> ThreadLocalRandom.current().nextLong());
  }

  /**
   * Changes the skew.
   *
   * @param value the skew; with zero, tokens are returned until they expire
   * @return the changed policy
   */
  public CachingPolicy withSkew(Duration value) {
    return new CachingPolicy(value, refreshTimeout, clock, nanoTime, random);
  }

  /**
   * Changes the deadline of refreshes.
   *
   * @param value the deadline; the timeout in the client's service config also applies
   * @return the changed policy
   */
  public CachingPolicy withRefreshTimeout(Duration value) {
    return new CachingPolicy(skew, value, clock, nanoTime, random);
  }

  /**
   * Changes the clocks. The age of a token is the greater of both clocks' measurements; back-off uses the monotonic
   * clock.
   *
   * @param wall the wall clock, such as a {@link java.time.Clock}
   * @param monotonic the monotonic clock, in nanoseconds since an arbitrary moment
   * @return the changed policy
   */
  public CachingPolicy withClocks(InstantSource wall, LongSupplier monotonic) {
    return new CachingPolicy(skew, refreshTimeout, wall, monotonic, random);
  }

  /**
   * Changes the random number generator.
   *
   * @param value the generator, which must be thread-safe
   * @return the changed policy
   */
  public CachingPolicy withRandom(RandomGenerator value) {
    return new CachingPolicy(skew, refreshTimeout, clock, nanoTime, value);
  }

  Reading now() {
    return new Reading(clock.millis(), nanoTime.getAsLong());
  }
}
