package tokend.verifier;

import static org.assertj.core.api.Assertions.assertThat;

import com.nimbusds.jose.KeySourceException;
import com.nimbusds.jose.jwk.JWKMatcher;
import com.nimbusds.jose.jwk.JWKSelector;
import com.nimbusds.jose.jwk.source.JWKSource;
import com.nimbusds.jose.proc.SecurityContext;
import java.time.Duration;
import org.junit.jupiter.api.Test;

/** Times are measured by a clock that this test advances, not by the wall clock. */
class KeysTest {
  private long millis = Duration.ofDays(1).toMillis();

  private void pass(Duration time) {
    millis += time.toMillis();
  }

  private static int found(JWKSource<SecurityContext> keys, String keyId) throws KeySourceException {
    return keys.get(new JWKSelector(new JWKMatcher.Builder().keyID(keyId).build()), null).size();
  }

  @Test
  void keysAreCachedByMonotonicClock() throws Exception {
    try (Pages own = new Issuer().pages()) {
      JWKSource<SecurityContext> keys = Keys.of(new IssuerKeys("", own.at("/some/keys")), () -> millis);
      assertThat(found(keys, "1")).isEqualTo(1);
      pass(Duration.ofMinutes(3));
      assertThat(found(keys, "1")).isEqualTo(1);
      assertThat(own.requests).hasSize(1);

      pass(Duration.ofMinutes(3));
      assertThat(found(keys, "1")).isEqualTo(1);
      assertThat(own.requests).hasSize(2);

      assertThat(found(keys, "unknown")).isZero();
      assertThat(found(keys, "unknown")).isZero();
      assertThat(own.requests).hasSize(3);

      pass(Duration.ofSeconds(11));
      assertThat(found(keys, "unknown")).isZero();
      assertThat(own.requests).hasSize(4);
    }
  }
}
