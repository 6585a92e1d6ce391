package verifier;

import com.google.gson.Gson;
import com.nimbusds.jose.JOSEObjectType;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.jwk.source.JWKSourceBuilder;
import com.nimbusds.jose.proc.DefaultJOSEObjectTypeVerifier;
import com.nimbusds.jose.proc.JWSVerificationKeySelector;
import com.nimbusds.jose.proc.SecurityContext;
import com.nimbusds.jose.util.DefaultResourceRetriever;
import com.nimbusds.jose.util.ResourceRetriever;
import com.nimbusds.jwt.JWTClaimsSet;
import com.nimbusds.jwt.proc.DefaultJWTClaimsVerifier;
import com.nimbusds.jwt.proc.DefaultJWTProcessor;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
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
 * <p>Reads a line {"issuer": URL, "tokens": {NAME: {"audience": AUDIENCE, "token": TOKEN}}} for each question, and
 * prints a line {VERIFIER: {NAME: why it is rejected, empty if it is accepted}}. "verifiers" in a question names those
 * that are asked, and "cacheSeconds" is for how long Nimbus keeps keys, other than by default.
 */
public final class Main {
  // By default it waits for half a second, which would have a busy machine reject tokens.
  private static final int TIMEOUT_MILLIS = 30_000;
  private static final ResourceRetriever KEYS =
      new DefaultResourceRetriever(
          TIMEOUT_MILLIS, TIMEOUT_MILLIS, JWKSourceBuilder.DEFAULT_HTTP_SIZE_LIMIT);

  private record Token(String audience, String token) {}

  private record Question(String issuer, Long cacheSeconds, Set<String> verifiers, Map<String, Token> tokens) {}

  private interface Verifier {
    void verify(String token) throws Exception;
  }

  private interface VerifierOf {
    Verifier of(Question asked, String audience) throws Exception;
  }

  private Main() {}

  public static void main(String[] arguments) throws Exception {
    Gson gson = new Gson();
    Map<String, VerifierOf> verifiers = new LinkedHashMap<>();
    verifiers.put("Nimbus", (asked, audience) -> nimbus(asked, audience, null));
    verifiers.put("Nimbus, JWS allowed", (asked, audience) -> nimbus(asked, audience, new JOSEObjectType("JWS")));
    verifiers.put("Spring Security", (asked, audience) -> spring(asked.issuer(), audience));
    verifiers.put("Spring Security, JWS allowed", (asked, audience) -> springThatAllowsJws(asked.issuer(), audience));
    BufferedReader questions = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    PrintStream answers = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    Map<List<String>, Verifier> kept = new HashMap<>();
    for (String line = questions.readLine(); line != null; line = questions.readLine()) {
      Question asked = gson.fromJson(line, Question.class);
      Map<String, Map<String, String>> answer = new LinkedHashMap<>();
      for (Map.Entry<String, VerifierOf> verifier : verifiers.entrySet()) {
        if (asked.verifiers() == null || asked.verifiers().contains(verifier.getKey())) {
          answer.put(verifier.getKey(), rejected(verifier.getKey(), verifier.getValue(), asked, kept));
        }
      }
      answers.println(gson.toJson(answer));
    }
  }

  private static Map<String, String> rejected(
      String name, VerifierOf verifiers, Question asked, Map<List<String>, Verifier> kept) throws Exception {
    Map<String, String> rejected = new LinkedHashMap<>();
    for (Map.Entry<String, Token> each : asked.tokens().entrySet()) {
      List<String> key = List.of(name, asked.issuer(), each.getValue().audience());
      if (!kept.containsKey(key)) {
        kept.put(key, verifiers.of(asked, each.getValue().audience()));
      }
      rejected.put(each.getKey(), whyRejected(kept.get(key), each.getValue().token()));
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

  private static Verifier nimbus(Question asked, String audience, JOSEObjectType type) throws Exception {
    JWKSourceBuilder<SecurityContext> keys =
        JWKSourceBuilder.create(URI.create(asked.issuer() + "/.well-known/jwks.json").toURL(), KEYS);
    if (asked.cacheSeconds() != null) {
      long milliseconds = asked.cacheSeconds() * 1000;
      keys = keys.refreshAheadCache(false).rateLimited(milliseconds / 2).cache(milliseconds, milliseconds / 2);
    }
    DefaultJWTProcessor<SecurityContext> processor = new DefaultJWTProcessor<>();
    processor.setJWSKeySelector(
        new JWSVerificationKeySelector<>(
            Set.of(JWSAlgorithm.RS512, JWSAlgorithm.RS256, JWSAlgorithm.ES256),
            keys.build()));
    processor.setJWTClaimsSetVerifier(
        new DefaultJWTClaimsVerifier<>(
            audience, new JWTClaimsSet.Builder().issuer(asked.issuer()).build(), Set.of("sub", "exp")));
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
