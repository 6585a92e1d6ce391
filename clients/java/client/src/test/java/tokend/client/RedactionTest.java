package tokend.client;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Instant;
import java.util.List;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class RedactionTest {
  private static final String SECRET = "s3cr3t";

  static List<Object> holders() {
    TokenSnapshot snapshot = new TokenSnapshot("id", SECRET, Instant.EPOCH, Instant.EPOCH);
    TokenRequest.Builder request = TokenRequest.builder("pool").login("provider", SECRET).principalTag("tag", SECRET);
    return List.of(
        snapshot,
        Holding.of(snapshot, Instant.EPOCH, CachingPolicy.defaults().skew(), 0),
        SourceState.EMPTY.refreshed(Holding.of(snapshot, Instant.EPOCH, CachingPolicy.defaults().skew(), 0)),
        request,
        request.build(),
        LookupRequest.ofUser("pool", SECRET),
        new LookupResult("id", List.of(SECRET), ""),
        new MergeRequest(SECRET, SECRET, "provider", "pool"),
        new UnlinkRequest("id", "pool", "provider", SECRET));
  }

  @ParameterizedTest
  @MethodSource("holders")
  void whatHoldsASecretDoesNotShowIt(Object holder) {
    assertThat(holder.toString()).doesNotContain(SECRET);
  }
}
