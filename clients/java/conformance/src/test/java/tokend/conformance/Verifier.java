package tokend.conformance;

import com.nimbusds.jose.JOSEObjectType;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.jwk.source.JWKSourceBuilder;
import com.nimbusds.jose.proc.DefaultJOSEObjectTypeVerifier;
import com.nimbusds.jose.proc.JWSVerificationKeySelector;
import com.nimbusds.jose.proc.SecurityContext;
import com.nimbusds.jose.util.DefaultResourceRetriever;
import com.nimbusds.jwt.JWTClaimsSet;
import com.nimbusds.jwt.proc.DefaultJWTClaimsVerifier;
import com.nimbusds.jwt.proc.DefaultJWTProcessor;
import java.net.MalformedURLException;
import java.net.URI;
import java.time.InstantSource;
import java.util.Date;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** Verifies tokens as a Java service does, with Nimbus JOSE + JWT and the issuer's keys. */
final class Verifier {
  // The default of half a second is too short on a busy machine.
  private static final int TIMEOUT_MILLIS = 30_000;
  private static final DefaultResourceRetriever PATIENT =
      new DefaultResourceRetriever(TIMEOUT_MILLIS, TIMEOUT_MILLIS, JWKSourceBuilder.DEFAULT_HTTP_SIZE_LIMIT);

  private final DefaultJWTProcessor<SecurityContext> processor = new DefaultJWTProcessor<>();

  /**
   * Creates a verifier.
   *
   * @param audience the required pool of tokens; null accepts any
   */
  Verifier(String keysOf, String issuer, @Nullable String audience, InstantSource clock) {
    Set<JWSAlgorithm> algorithms = Set.of(JWSAlgorithm.RS512, JWSAlgorithm.RS256, JWSAlgorithm.ES256);
    processor.setJWSTypeVerifier(new DefaultJOSEObjectTypeVerifier<>(new JOSEObjectType("JWS")));
    processor.setJWSKeySelector(
        new JWSVerificationKeySelector<>(
            algorithms,
            // It fetches keys again for an unknown key; without a rate limit, since keys rotate fast here.
            JWKSourceBuilder.create(url(keysOf + "/.well-known/jwks.json"), PATIENT).rateLimited(false).build()));
    processor.setJWTClaimsSetVerifier(claimsVerifier(issuer, audience, clock));
  }

  JWTClaimsSet verify(String token) throws Exception {
    return processor.process(token, null);
  }

  private static DefaultJWTClaimsVerifier<SecurityContext> claimsVerifier(
      String issuer, @Nullable String audience, InstantSource clock) {
    return new DefaultJWTClaimsVerifier<>(
        audience, new JWTClaimsSet.Builder().issuer(issuer).build(), Set.of("sub", "aud", "exp", "iat")) {
      {
        setMaxClockSkew(0);
      }

      @Override
      protected Date currentTime() {
        return Date.from(clock.instant());
      }
    };
  }

  private static java.net.URL url(String text) {
    try {
      return URI.create(text).toURL();
    } catch (MalformedURLException e) {
      throw new IllegalArgumentException(e);
    }
  }
}
