package tokend.client;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.Map;
import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class HoldingTest {
  private static final Duration SKEW = Duration.ofSeconds(60);

  private final ManualClock clock = new ManualClock();

  private Holding holding(@Nullable Instant issued, Instant base, long refreshAfter, long expireAfter, double draw) {
    Token token =
        new Token("id", "token", issued, base.plusSeconds(expireAfter), base.plusSeconds(refreshAfter));
    return Holding.of(token, clock.reading(), SKEW, draw);
  }

  private Holding holding(long refreshAfter, long expireAfter, double draw) {
    Instant issued = clock.instant();
    return holding(issued, issued, refreshAfter, expireAfter, draw);
  }

  private String stateOf(Holding holding) {
    Reading now = clock.reading();
    if (holding.isFresh(now)) {
      return "FRESH";
    }
    return holding.isExpired(now) ? "EXPIRED" : "STALE";
  }

  @ParameterizedTest
  @CsvSource({"0,450", "0.5,427.5", "1,405"})
  void jitterAdvancesRefreshByUpToATenth(double draw, double freshFor) {
    assertThat(holding(450, 900, draw).freshFor() / 1000.0).isEqualTo(freshFor);
  }

  @ParameterizedTest
  @CsvSource({"900,840", "600,540", "599,539.1", "10,9", "1,0.9", "86400,86340"})
  void skewIsAtMostATenthOfLifetime(long life, double usableFor) {
    assertThat(holding(life / 2, life, 0).usableFor() / 1000.0).isEqualTo(usableFor);
  }

  @Test
  void skewOfMaximumDurationIsLimited() {
    Instant issued = clock.instant();
    Token token = new Token("id", "token", issued, issued.plusSeconds(900), issued.plusSeconds(300));

    Holding holding = Holding.of(token, clock.reading(), ChronoUnit.FOREVER.getDuration(), 0);

    assertThat(holding.usableFor()).isEqualTo(810_000);
  }

  @Test
  void tokenIsNotFreshAfterExpiry() {
    Holding holding = holding(900, 900, 0);

    assertThat(holding.freshFor()).isEqualTo(holding.usableFor());
  }

  @ParameterizedTest
  @ValueSource(longs = {-3600, 0, 1})
  void tokenIsFreshForAtLeastOneSecond(long refreshAfter) {
    Holding holding = holding(refreshAfter, 900, 1);

    clock.advance(Duration.ofMillis(999));
    assertThat(stateOf(holding)).isEqualTo("FRESH");
    clock.advance(Duration.ofMillis(1));
    assertThat(stateOf(holding)).isEqualTo("STALE");
  }

  @ParameterizedTest
  @ValueSource(longs = {-86_400, -3_600, 0, 840, 86_400})
  void clockDifferenceDoesNotAffectState(long away) {
    Instant issued = clock.instant().plusSeconds(away);
    Holding holding = holding(issued, issued, 300, 900, 0);

    clock.advance(Duration.ofSeconds(299));
    assertThat(stateOf(holding)).isEqualTo("FRESH");
    clock.advance(Duration.ofSeconds(1));
    assertThat(stateOf(holding)).isEqualTo("STALE");
    clock.advance(Duration.ofMinutes(9));
    assertThat(stateOf(holding)).isEqualTo("EXPIRED");
  }

  @Test
  void tokenWithoutIssueTimeIsMeasuredByWallClock() {
    Holding holding = holding(null, clock.instant().minusSeconds(100), 300, 900, 0);

    assertThat(holding.freshFor()).isEqualTo(200_000);
    assertThat(holding.usableFor()).isEqualTo(740_000);
  }

  @Test
  void tokenExpiredOnArrivalIsFreshForOneSecond() {
    Holding holding = holding(null, clock.instant(), -20, -10, 1);

    clock.advance(Duration.ofMillis(999));
    assertThat(stateOf(holding)).isEqualTo("FRESH");
    clock.advance(Duration.ofMillis(1));
    assertThat(stateOf(holding)).isEqualTo("EXPIRED");
  }

  @Test
  void greaterAgeOfBothClocksIsUsed() {
    Holding holding = holding(300, 900, 0);

    clock.moveWall(Duration.ofHours(-2));
    clock.advance(Duration.ofMinutes(5));
    assertThat(stateOf(holding)).isEqualTo("STALE");
    clock.moveWall(Duration.ofHours(4));
    assertThat(stateOf(holding)).isEqualTo("EXPIRED");
  }

  @Test
  void jitterSpreadsRefreshesOfAThousandClients() {
    RandomGenerator random = RandomGeneratorFactory.of("L64X128MixRandom").create(20261122);
    Map<Long, Long> refreshesBySecond =
        IntStream.range(0, 1000)
            .mapToObj(client -> holding(450, 900, random.nextDouble()).freshFor() / 1000)
            .collect(Collectors.groupingBy(second -> second, Collectors.counting()));

    assertThat(refreshesBySecond).hasSize(45);
    assertThat(refreshesBySecond.values()).allSatisfy(count -> assertThat(count).isLessThan(50));
  }
}
