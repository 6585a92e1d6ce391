package tokend.client;

import java.time.Duration;
import java.time.InstantSource;
import java.util.concurrent.ThreadLocalRandom;
import java.util.random.RandomGenerator;

/**
 * What may be set of the way in which tokens are kept.
 *
 * @param skew how long before its end a token is no longer handed out; never more than a tenth of the token's life
 * @param refreshDeadline the deadline of the calls that refresh tokens
 * @param clock tells the time
 * @param random draws jitter and back-off; called by many threads at once
 */
public record CachingPolicy(Duration skew, Duration refreshDeadline, InstantSource clock, RandomGenerator random) {

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
        () -> ThreadLocalRandom.current().nextLong());
  }

  /**
   * Changes the skew.
   *
   * @param value the skew; zero hands out tokens to their last moment
   * @return the changed policy
   */
  public CachingPolicy withSkew(Duration value) {
    return new CachingPolicy(value, refreshDeadline, clock, random);
  }

  /**
   * Changes the deadline of refreshes.
   *
   * @param value the deadline; the service config of the client may end calls sooner
   * @return the changed policy
   */
  public CachingPolicy withRefreshDeadline(Duration value) {
    return new CachingPolicy(skew, value, clock, random);
  }

  /**
   * Changes the clock.
   *
   * @param value the clock, such as a {@link java.time.Clock}
   * @return the changed policy
   */
  public CachingPolicy withClock(InstantSource value) {
    return new CachingPolicy(skew, refreshDeadline, value, random);
  }

  /**
   * Changes the randomness.
   *
   * @param value the generator, which must be safe to use by many threads at once
   * @return the changed policy
   */
  public CachingPolicy withRandom(RandomGenerator value) {
    return new CachingPolicy(skew, refreshDeadline, clock, value);
  }
}
