package verifier;

import com.google.gson.Gson;
import com.nimbusds.jose.JOSEObjectType;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.jwk.source.JWKSourceBuilder;
import com.nimbusds.jose.proc.DefaultJOSEObjectTypeVerifier;
import com.nimbusds.jose.proc.JWSVerificationKeySelector;
import com.nimbusds.jose.proc.SecurityContext;
import com.nimbusds.jwt.JWTClaimsSet;
import com.nimbusds.jwt.proc.DefaultJWTClaimsVerifier;
import com.nimbusds.jwt.proc.DefaultJWTProcessor;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import org.springframework.security.oauth2.core.DelegatingOAuth2TokenValidator;
import org.springframework.security.oauth2.core.OAuth2TokenValidator;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.security.oauth2.jwt.JwtAudienceValidator;
import org.springframework.security.oauth2.jwt.JwtIssuerValidator;
import org.springframework.security.oauth2.jwt.JwtTimestampValidator;
import org.springframework.security.oauth2.jwt.JwtTypeValidator;
import org.springframework.security.oauth2.jwt.JwtValidators;
import org.springframework.security.oauth2.jwt.NimbusJwtDecoder;

/**
 * Verifies tokens with Nimbus JOSE + JWT and with Spring Security, set up from the issuer's URL and the audience, each
 * with its default for the header's type and with that of Cognito's tokens.
 *
 * <p>Reads {"issuer": URL, "tokens": {NAME: {"audience": AUDIENCE, "token": TOKEN}}} and prints {VERIFIER: {NAME: why
 * it is rejected, empty if it is accepted}}.
 */
public final class Main {
  private record Token(String audience, String token) {}

  private record Question(String issuer, Map<String, Token> tokens) {}

  private interface Verifier {
    void verify(String token) throws Exception;
  }

  private interface VerifierOf {
    Verifier of(String issuer, String audience) throws Exception;
  }

  private Main() {}

  public static void main(String[] arguments) throws Exception {
    Gson gson = new Gson();
    Question asked = gson.fromJson(new InputStreamReader(System.in, StandardCharsets.UTF_8), Question.class);
    Map<String, VerifierOf> verifiers = new LinkedHashMap<>();
    verifiers.put("Nimbus", (issuer, audience) -> nimbus(issuer, audience, null));
    verifiers.put("Nimbus, JWS allowed", (issuer, audience) -> nimbus(issuer, audience, new JOSEObjectType("JWS")));
    verifiers.put("Spring Security", Main::spring);
    verifiers.put("Spring Security, JWS allowed", Main::springThatAllowsJws);
    Map<String, Map<String, String>> answer = new LinkedHashMap<>();
    for (Map.Entry<String, VerifierOf> verifier : verifiers.entrySet()) {
      answer.put(verifier.getKey(), rejected(verifier.getValue(), asked));
    }
    new PrintStream(System.out, true, StandardCharsets.UTF_8).println(gson.toJson(answer));
  }

  private static Map<String, String> rejected(VerifierOf verifiers, Question asked) throws Exception {
    Map<String, String> rejected = new LinkedHashMap<>();
    for (Map.Entry<String, Token> each : asked.tokens().entrySet()) {
      Verifier verifier = verifiers.of(asked.issuer(), each.getValue().audience());
      rejected.put(each.getKey(), whyRejected(verifier, each.getValue().token()));
    }
    return rejected;
  }

  private static String whyRejected(Verifier verifier, String token) {
    try {
      verifier.verify(token);
      return "";
    } catch (Exception e) {
      return e.getClass().getSimpleName() + ": " + e.getMessage();
    }
  }

  private static Verifier nimbus(String issuer, String audience, JOSEObjectType type) throws Exception {
    DefaultJWTProcessor<SecurityContext> processor = new DefaultJWTProcessor<>();
    processor.setJWSKeySelector(
        new JWSVerificationKeySelector<>(
            Set.of(JWSAlgorithm.RS512, JWSAlgorithm.RS256, JWSAlgorithm.ES256),
            JWKSourceBuilder.create(URI.create(issuer + "/.well-known/jwks.json").toURL()).build()));
    processor.setJWTClaimsSetVerifier(
        new DefaultJWTClaimsVerifier<>(
            audience, new JWTClaimsSet.Builder().issuer(issuer).build(), Set.of("sub", "exp")));
    if (type != null) {
      processor.setJWSTypeVerifier(new DefaultJOSEObjectTypeVerifier<>(type));
    }
    return token -> processor.process(token, null);
  }

  private static Verifier spring(String issuer, String audience) {
    NimbusJwtDecoder decoder = NimbusJwtDecoder.withIssuerLocation(issuer).build();
    decoder.setJwtValidator(
        new DelegatingOAuth2TokenValidator<>(
            JwtValidators.createDefaultWithIssuer(issuer), new JwtAudienceValidator(audience)));
    return decoder::decode;
  }

  private static Verifier springThatAllowsJws(String issuer, String audience) {
    NimbusJwtDecoder decoder = NimbusJwtDecoder.withIssuerLocation(issuer).validateType(false).build();
    OAuth2TokenValidator<Jwt> checks =
        new DelegatingOAuth2TokenValidator<>(
            new JwtTypeValidator("JWS"),
            new JwtTimestampValidator(),
            new JwtIssuerValidator(issuer),
            new JwtAudienceValidator(audience));
    decoder.setJwtValidator(checks);
    return decoder::decode;
  }
}
