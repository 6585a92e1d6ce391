package tokend.client;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.time.Instant;
import java.util.Map;
import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class HoldingTest {
  private static final Instant ARRIVAL = ManualClock.START;
  private static final Duration SKEW = Duration.ofSeconds(60);

  private static Holding holding(long refreshAfter, long expireAfter, double draw) {
    TokenSnapshot snapshot =
        new TokenSnapshot("id", "token", ARRIVAL.plusSeconds(expireAfter), ARRIVAL.plusSeconds(refreshAfter));
    return Holding.of(snapshot, ARRIVAL, SKEW, draw);
  }

  private static double secondsAfterArrival(long millis) {
    return (millis - ARRIVAL.toEpochMilli()) / 1000.0;
  }

  @ParameterizedTest
  @CsvSource({"0,450", "0.5,427.5", "1,405"})
  void jitterBringsTheRefreshForwardByUpToATenth(double draw, double staleAt) {
    assertThat(secondsAfterArrival(holding(450, 900, draw).staleAt())).isEqualTo(staleAt);
  }

  @ParameterizedTest
  @CsvSource({"900,840", "600,540", "599,539.1", "10,9", "1,0.9", "86400,86340"})
  void theSkewIsAtMostATenthOfTheLife(long life, double expiredAt) {
    assertThat(secondsAfterArrival(holding(life / 2, life, 0).expiredAt())).isEqualTo(expiredAt);
  }

  @Test
  void aTokenIsNotFreshOnceItIsExpired() {
    Holding holding = holding(900, 900, 0);

    assertThat(holding.staleAt()).isEqualTo(holding.expiredAt());
    assertThat(holding.isFresh(holding.expiredAt())).isFalse();
  }

  @Test
  void aTokenFromThePastIsExpiredAtItsArrival() {
    Holding holding = holding(-20, -10, 1);

    assertThat(holding.isFresh(ARRIVAL.toEpochMilli())).isFalse();
    assertThat(holding.isExpired(ARRIVAL.toEpochMilli())).isTrue();
  }

  @Test
  void aThousandClientsOfTheSameSecondDoNotRefreshInTheSameSecond() {
    RandomGenerator random = RandomGeneratorFactory.of("L64X128MixRandom").create(20261122);
    Map<Long, Long> refreshesBySecond =
        IntStream.range(0, 1000)
            .mapToObj(client -> holding(450, 900, random.nextDouble()).staleAt() / 1000)
            .collect(Collectors.groupingBy(second -> second, Collectors.counting()));

    assertThat(refreshesBySecond).hasSize(45);
    assertThat(refreshesBySecond.values()).allSatisfy(count -> assertThat(count).isLessThan(50));
  }
}
