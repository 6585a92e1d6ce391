package tokend.client;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.time.Instant;
import java.util.List;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class RedactionTest {
  private static final String SECRET = "s3cr3t";

  static List<Object> holders() {
    Token token = new Token("id", SECRET, null, Instant.EPOCH, Instant.EPOCH);
    Holding holding = Holding.of(token, new Reading(0, 0), Duration.ZERO, 0);
    TokenRequest.Builder request = TokenRequest.builder("pool").login("provider", SECRET).principalTag("tag", SECRET);
    return List.of(
        token,
        holding,
        SourceState.EMPTY.refreshed(holding),
        request,
        request.build(),
        LookupRequest.ofUser("pool", SECRET),
        new LookupResult("id", List.of(SECRET), ""),
        new MergeRequest(SECRET, SECRET, "provider", "pool"),
        new UnlinkRequest("id", "pool", "provider", SECRET));
  }

  @ParameterizedTest
  @MethodSource("holders")
  void toStringContainsNoSecrets(Object holder) {
    assertThat(holder.toString()).doesNotContain(SECRET);
  }
}
