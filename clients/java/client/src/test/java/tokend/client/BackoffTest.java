package tokend.client;

import static org.assertj.core.api.Assertions.assertThat;

import io.grpc.Status;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class BackoffTest {
  private static Backoff after(int failures, double draw) {
    TokendException failure = TokendException.local(Status.Code.UNAVAILABLE, "as scripted", null);
    Backoff backoff = Backoff.NONE;
    for (int i = 0; i < failures; i++) {
      backoff = backoff.after(failure, new Reading(0, 0), draw, 0);
    }
    return backoff;
  }

  @ParameterizedTest
  @CsvSource({
    "1,500,500", "2,1000,1000", "3,2000,1000", "4,4000,1000", "5,8000,1000", "6,16000,1000", "7,30000,1000",
    "8,30000,1000", "1000,30000,1000"
  })
  void backoffDoublesToItsLimitWithJitter(int failures, long least, long leastWithoutToken) {
    assertThat(after(failures, 0).delay()).isEqualTo(least);
    assertThat(after(failures, 0.5).delay()).isEqualTo(least * 3 / 2);
    assertThat(after(failures, 1).delay()).isEqualTo(least * 2);
    assertThat(after(failures, 0).delayWithoutToken()).isEqualTo(leastWithoutToken);
    assertThat(after(failures, 1).delayWithoutToken()).isEqualTo(leastWithoutToken * 2);
  }
}
