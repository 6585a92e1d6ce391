package tokend.client;

import java.time.Duration;
import java.time.InstantSource;
import java.util.Objects;
import java.util.concurrent.ThreadLocalRandom;
import java.util.function.LongSupplier;
import java.util.random.RandomGenerator;

/**
 * What may be set of the way in which tokens are kept.
 *
 * @param skew how long before its end a token is no longer handed out; never more than a tenth of the token's life
 * @param refreshTimeout the deadline of the calls that refresh tokens
 * @param clock the wall clock
 * @param nanoTime the monotonic clock, in nanoseconds since any moment, as {@link System#nanoTime}
 * @param random draws jitter and back-off; called by many threads at once
 */
public record CachingPolicy(
    Duration skew,
    Duration refreshTimeout,
    InstantSource clock,
    LongSupplier nanoTime,
    RandomGenerator random) {

  /**
   * Makes a policy of all settings.
   *
   * @param skew how long before its end a token is no longer handed out, never negative
   * @param refreshTimeout the deadline of refreshes, more than zero
   * @param clock the wall clock
   * @param nanoTime the monotonic clock
   * @param random draws jitter and back-off
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
   * A minute of skew, refreshes of 3 seconds, the system's clock and randomness.
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
   * @param value the skew; zero hands out tokens to their last moment
   * @return the changed policy
   */
  public CachingPolicy withSkew(Duration value) {
    return new CachingPolicy(value, refreshTimeout, clock, nanoTime, random);
  }

  /**
   * Changes the deadline of refreshes.
   *
   * @param value the deadline; the service config of the client may end calls sooner
   * @return the changed policy
   */
  public CachingPolicy withRefreshTimeout(Duration value) {
    return new CachingPolicy(skew, value, clock, nanoTime, random);
  }

  /**
   * Changes the clocks. A token is as old as the one says that has it older; back-off goes by the monotonic one.
   *
   * @param wall the wall clock, such as a {@link java.time.Clock}
   * @param monotonic the monotonic clock, in nanoseconds since any moment
   * @return the changed policy
   */
  public CachingPolicy withClocks(InstantSource wall, LongSupplier monotonic) {
    return new CachingPolicy(skew, refreshTimeout, wall, monotonic, random);
  }

  /**
   * Changes the randomness.
   *
   * @param value the generator, which must be safe to use by many threads at once
   * @return the changed policy
   */
  public CachingPolicy withRandom(RandomGenerator value) {
    return new CachingPolicy(skew, refreshTimeout, clock, nanoTime, value);
  }

  Reading now() {
    return new Reading(clock.millis(), nanoTime.getAsLong());
  }
}
