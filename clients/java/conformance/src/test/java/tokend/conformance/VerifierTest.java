package tokend.conformance;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import com.nimbusds.jose.JOSEException;
import com.nimbusds.jose.proc.BadJOSEException;
import com.nimbusds.jose.proc.BadJWSException;
import com.nimbusds.jwt.JWTClaimsSet;
import com.nimbusds.jwt.proc.BadJWTException;
import com.nimbusds.jwt.proc.ExpiredJWTException;
import java.time.Instant;
import java.time.InstantSource;
import java.util.Date;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import tokend.client.Client;
import tokend.client.Token;
import tokend.client.TokenRequest;
import tokend.verifier.Identity;
import tokend.verifier.TokenRejectedException;
import tokend.verifier.TokenVerifier;

/** The verifier of Java services with tokens of the real server. */
class VerifierTest {
  private static final String TAG = "Zoë & co";

  private Harness harness = new Harness(Map.of(), java.net.URI.create(""), java.nio.file.Path.of(""), "", Map.of());

  @BeforeEach
  void find() throws Exception {
    harness = Harness.find();
    harness.conduct("/reset");
  }

  private String variable(String name) {
    return Optional.ofNullable(harness.variables().get(name)).orElseThrow();
  }

  private Token issue(String pool) {
    TokenRequest request =
        TokenRequest.builder(variable(pool))
            .login(variable("developer_provider_name"), "verified user")
            .principalTag("department", TAG)
            .build();
    try (Client client = harness.client("served").build()) {
      return client.getOpenIdTokenForDeveloperIdentity(request);
    }
  }

  private Verifier verifier(String audience) {
    return new Verifier(harness.issuer(), harness.issuer(), audience, InstantSource.system());
  }

  private static String alter(String token, int part) {
    String[] parts = token.split("\\.", -1);
    int middle = parts[part].length() / 2;
    char other = parts[part].charAt(middle) == 'A' ? 'B' : 'A';
    parts[part] = parts[part].substring(0, middle) + other + parts[part].substring(middle + 1);
    return String.join(".", parts);
  }

  @ParameterizedTest
  @CsvSource({"pool_rs512,RS512", "pool_rs256,RS256", "pool_es256,ES256"})
  void tokenIsAcceptedWithItsClaims(String pool, String algorithm) throws Exception {
    Token token = issue(pool);

    JWTClaimsSet claims = verifier(variable(pool)).verify(token.value());

    assertThat(com.nimbusds.jwt.SignedJWT.parse(token.value()).getHeader().getAlgorithm()).hasToString(algorithm);
    assertThat(claims.getSubject()).isEqualTo(token.identityId());
    assertThat(claims.getExpirationTime()).isEqualTo(Date.from(token.expireTime()));
    assertThat(claims.getJSONObjectClaim("https://aws.amazon.com/tags"))
        .isEqualTo(Map.of("principal_tags", Map.of("department", List.of(TAG))));
  }

  @ParameterizedTest
  @ValueSource(strings = {"pool_rs512", "pool_rs256", "pool_es256"})
  void alteredTokenIsRejected(String pool) {
    String token = issue(pool).value();
    Verifier verifier = verifier(variable(pool));

    for (int part = 0; part < 3; part++) {
      String altered = alter(token, part);
      assertThatExceptionOfType(Exception.class)
          .isThrownBy(() -> verifier.verify(altered))
          .isInstanceOfAny(BadJOSEException.class, JOSEException.class, java.text.ParseException.class);
    }
    assertThatExceptionOfType(BadJWSException.class).isThrownBy(() -> verifier.verify(alter(token, 2)));
    assertThatExceptionOfType(Exception.class)
        .isThrownBy(() -> verifier.verify(token.substring(0, token.lastIndexOf('.') + 1)));
  }

  @ParameterizedTest
  @ValueSource(strings = {"pool_rs512", "pool_rs256", "pool_es256"})
  void expiredTokenIsRejected(String pool) throws Exception {
    Token token = issue(pool);
    Instant expireTime = token.expireTime();

    at(pool, expireTime.minusSeconds(1)).verify(token.value());
    assertThatExceptionOfType(ExpiredJWTException.class)
        .isThrownBy(() -> at(pool, expireTime.plusSeconds(1)).verify(token.value()));
  }

  private Verifier at(String pool, Instant time) {
    return new Verifier(harness.issuer(), harness.issuer(), variable(pool), InstantSource.fixed(time));
  }

  @ParameterizedTest
  @ValueSource(strings = {"pool_rs512", "pool_rs256", "pool_es256"})
  void tokenOfOtherAudienceOrIssuerIsRejected(String pool) {
    String token = issue(pool).value();
    Verifier otherAudience = verifier(variable("pool"));
    Verifier otherIssuer =
        new Verifier(
            harness.issuer(), "https://tokend.example.internal", variable(pool), InstantSource.system());

    assertThatExceptionOfType(BadJWTException.class)
        .isThrownBy(() -> otherAudience.verify(token))
        .withMessageContaining("aud");
    assertThatExceptionOfType(BadJWTException.class)
        .isThrownBy(() -> otherIssuer.verify(token))
        .withMessageContaining("iss");
  }

  @ParameterizedTest
  @ValueSource(strings = {"pool_rs512", "pool_rs256", "pool_es256"})
  void tokenVerifierAcceptsOnlyTokensOfItsPool(String pool) throws Exception {
    Token token = issue(pool);

    Identity identity = TokenVerifier.builder(harness.issuer(), variable(pool)).build().verify(token.value());

    assertThat(identity.identityId()).isEqualTo(token.identityId());
    assertThat(identity.identityPoolId()).isEqualTo(variable(pool));
    assertThat(identity.expireTime()).isEqualTo(token.expireTime());
    assertThat(identity.principalTags()).isEqualTo(Map.of("department", TAG));
    TokenVerifier ofAnotherPool = TokenVerifier.builder(harness.issuer(), variable("pool")).build();
    assertThatExceptionOfType(TokenRejectedException.class)
        .isThrownBy(() -> ofAnotherPool.verify(token.value()));
  }
}
