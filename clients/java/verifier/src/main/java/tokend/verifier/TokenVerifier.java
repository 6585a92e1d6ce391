package tokend.verifier;

import com.nimbusds.jose.JOSEException;
import com.nimbusds.jose.JOSEObjectType;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.KeySourceException;
import com.nimbusds.jose.jwk.source.JWKSource;
import com.nimbusds.jose.proc.BadJOSEException;
import com.nimbusds.jose.proc.DefaultJOSEObjectTypeVerifier;
import com.nimbusds.jose.proc.JWSKeySelector;
import com.nimbusds.jose.proc.JWSVerificationKeySelector;
import com.nimbusds.jose.proc.SecurityContext;
import com.nimbusds.jose.util.Base64URL;
import com.nimbusds.jose.util.JSONObjectUtils;
import com.nimbusds.jwt.JWT;
import com.nimbusds.jwt.JWTClaimsSet;
import com.nimbusds.jwt.JWTParser;
import com.nimbusds.jwt.SignedJWT;
import com.nimbusds.jwt.proc.BadJWTException;
import com.nimbusds.jwt.proc.DefaultJWTClaimsVerifier;
import com.nimbusds.jwt.proc.DefaultJWTProcessor;
import java.net.URI;
import java.text.ParseException;
import java.time.Duration;
import java.time.InstantSource;
import java.util.Arrays;
import java.util.Date;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * Verifies the tokens of one issuer: signature, algorithm, type, issuer, audience and times. Thread-safe; use one
 * verifier per process.
 *
 * <p>Keys are fetched on first use, cached for 5 minutes, and fetched again in the background before the 5 minutes end.
 * A token with an unknown key causes a fetch at once, at most twice in 10 seconds. While the issuer does not respond,
 * its keys are used for another day. A thread waits only for missing keys, and the issuer has 3 seconds for each
 * response.
 */
public final class TokenVerifier {
  private static final Set<String> REQUIRED = Set.of("sub", "aud", "iss", "exp", "iat");
  private static final int MAX_CHARACTERS = 16_384;
  private static final String TAGS_CLAIM = "https://aws.amazon.com/tags";

  // A NumericDate (RFC 7519, section 2) stands for a date of RFC 3339, which has no year beyond 9999.
  private static final List<String> TIMES = List.of("exp", "iat", "nbf");
  private static final long FIRST_SECOND = -62_135_596_800L; // of the year 1
  private static final long END_SECOND = 253_402_300_800L; // of the year 9999, exclusive

  private static final List<String> OPTIONAL = List.of("nbf", "amr", TAGS_CLAIM);

  private final DefaultJWTProcessor<SecurityContext> processor = new DefaultJWTProcessor<>();

  private TokenVerifier(Builder builder, JWKSource<SecurityContext> keys) {
    processor.setJWSTypeVerifier(new DefaultJOSEObjectTypeVerifier<>(builder.types));
    processor.setJWSKeySelector(keySelector(new JWSVerificationKeySelector<>(builder.algorithms, keys)));
    processor.setJWTClaimsSetVerifier(new Claims(builder));
  }

  /** Nimbus would try every key for a token without a key id. */
  private static JWSKeySelector<SecurityContext> keySelector(JWSKeySelector<SecurityContext> named) {
    return (header, context) ->
        header.getKeyID() == null ? List.of() : named.selectJWSKeys(header, context);
  }

  /**
   * Returns a builder of a verifier for the tokens of an issuer.
   *
   * @param issuer the {@code iss} of the tokens and the URL of the issuer's discovery document (OpenID Connect
   *     Discovery 1.0)
   * @param audiences the pools whose tokens are accepted, at least one: all pools of a tokend service share its keys
   * @return a builder
   * @throws IllegalArgumentException when there is no audience
   */
  public static Builder builder(String issuer, String... audiences) {
    return new Builder(Objects.requireNonNull(issuer, "issuer"), Set.copyOf(List.of(audiences)));
  }

  /**
   * Verifies a token. Blocks only while keys must be fetched.
   *
   * @param token a JWT in compact form; sensitive
   * @return the identity of the token
   * @throws TokenRejectedException if the token is not valid for this verifier
   * @throws KeysUnavailableException if the issuer's keys are not available
   */
  public Identity verify(String token) throws TokenRejectedException, KeysUnavailableException {
    if (Objects.requireNonNull(token, "token").length() > MAX_CHARACTERS) {
      throw new TokenRejectedException("it is longer than " + MAX_CHARACTERS + " characters");
    }
    if (!Arrays.stream(token.split("\\.", -1)).allMatch(TokenVerifier::isBase64Url)) {
      throw new TokenRejectedException("it is not base64url");
    }
    try {
      JWT jwt = JWTParser.parse(token);
      JWTClaimsSet claims = processor.process(jwt, null); // rejects all that are not signed
      if (!hasValidTimes(((SignedJWT) jwt).getPayload().toJSONObject())) {
        throw new TokenRejectedException("a time is not in the years 1 to 9999");
      }
      return identity(claims);
    } catch (KeySourceException e) {
      throw new KeysUnavailableException("the issuer's keys are not available", e);
    } catch (ParseException e) {
      // The cause's text may contain the token.
      throw new TokenRejectedException("it is not a JWT, or a claim has the wrong type");
    } catch (NullPointerException e) {
      // Nimbus fails on a header or an audience of `null`, and the lists of an identity cannot contain it.
      throw new TokenRejectedException("its header is null, or a claim contains null");
    } catch (BadJOSEException | JOSEException e) {
      throw new TokenRejectedException(String.valueOf(e.getMessage()));
    }
  }

  /** Whether a text is the canonical encoding of its octets (RFC 7515, section 2). Nimbus ignores other characters. */
  private static boolean isBase64Url(String text) {
    return Base64URL.encode(new Base64URL(text).decode()).toString().equals(text);
  }

  /** Whether all times are valid. A date of Nimbus wraps around if the number is too large. */
  private static boolean hasValidTimes(Map<String, Object> claims) {
    return TIMES.stream()
        .noneMatch(
            name ->
                claims.get(name) instanceof Number time
                    && (time.doubleValue() < FIRST_SECOND || time.doubleValue() >= END_SECOND));
  }

  private static Identity identity(JWTClaimsSet claims) throws ParseException {
    List<String> methods = claims.getStringListClaim("amr");
    return new Identity(
        claims.getSubject(),
        claims.getAudience().get(0),
        claims.getIssuer(),
        methods == null ? List.of() : methods,
        principalTags(claims),
        claims.getIssueTime().toInstant(),
        claims.getExpirationTime().toInstant());
  }

  /** In Cognito's tokens, tags are lists with one string. */
  private static Map<String, String> principalTags(JWTClaimsSet claims) throws ParseException {
    Map<String, String> tags = new TreeMap<>();
    Map<String, Object> claim = claims.getJSONObjectClaim(TAGS_CLAIM);
    Map<String, Object> values = claim == null ? null : JSONObjectUtils.getJSONObject(claim, "principal_tags");
    if (values != null) {
      for (String name : values.keySet()) {
        List<String> texts = JSONObjectUtils.getStringList(values, name);
        if (texts == null || texts.isEmpty()) {
          throw new ParseException("a tag has no value", 0);
        }
        tags.put(name, texts.get(0));
      }
    }
    return tags;
  }

  private static final class Claims extends DefaultJWTClaimsVerifier<SecurityContext> {
    private final InstantSource clock;

    Claims(Builder builder) {
      super(builder.audiences, new JWTClaimsSet.Builder().issuer(builder.issuer).build(), REQUIRED, Set.of());
      this.clock = builder.clock;
      setMaxClockSkew((int) builder.leeway.toSeconds());
    }

    @Override
    public void verify(JWTClaimsSet claims, @Nullable SecurityContext context) throws BadJWTException {
      super.verify(claims, context);
      String subject = claims.getSubject();
      Date issued = claims.getIssueTime();
      if (subject == null || subject.isEmpty() || issued == null || claims.getExpirationTime() == null) {
        // Required claims may still be null, and Nimbus would accept such a token as one that does not expire.
        throw new BadJWTException("sub is empty, or sub, iat or exp is null");
      }
      if (OPTIONAL.stream()
          .anyMatch(name -> claims.getClaims().containsKey(name) && containsNull(claims.getClaim(name)))) {
        throw new BadJWTException("nbf, amr or the tags contain null");
      }
      if (claims.getAudience().size() != 1) {
        throw new BadJWTException("JWT aud names more than one audience");
      }
      if (issued.toInstant().isAfter(clock.instant().plusSeconds(getMaxClockSkew()))) {
        throw new BadJWTException("JWT was issued in the future");
      }
    }

    private static boolean containsNull(@Nullable Object value) {
      if (value instanceof Map<?, ?> members) {
        return members.values().stream().anyMatch(Claims::containsNull);
      }
      return value == null || (value instanceof List<?> list && list.stream().anyMatch(Claims::containsNull));
    }

    @Override
    protected Date currentTime() {
      return Date.from(clock.instant());
    }
  }

  /** Builds a verifier. */
  public static final class Builder {
    private static final Duration MAX_LEEWAY = Duration.ofMinutes(5);

    private final String issuer;
    private final Set<String> audiences;
    private Set<JWSAlgorithm> algorithms = Set.of(JWSAlgorithm.RS512, JWSAlgorithm.RS256, JWSAlgorithm.ES256);
    private Set<JOSEObjectType> types = new HashSet<>(Set.of(new JOSEObjectType("JWS"), JOSEObjectType.JWT));
    private Duration leeway = Duration.ofMinutes(1);
    private InstantSource clock = InstantSource.system();
    private @Nullable URI keysAt;

    private Builder(String issuer, Set<String> audiences) {
      this.issuer = issuer;
      this.audiences = requireNonEmpty(audiences, "audience");
    }

    /**
     * Sets the accepted signature algorithms.
     *
     * @param values RS512, RS256 and ES256 by default
     * @return this
     * @throws IllegalArgumentException if there is none, or one that does not sign with a private key
     */
    public Builder algorithms(JWSAlgorithm... values) {
      algorithms = requireNonEmpty(Set.copyOf(List.of(values)), "algorithm");
      if (!JWSAlgorithm.Family.SIGNATURE.containsAll(algorithms)) {
        throw new IllegalArgumentException("not all algorithms sign with a private key: " + algorithms);
      }
      return this;
    }

    /**
     * Sets the accepted types of tokens.
     *
     * @param values of the header {@code typ}; {@code JWS}, as in Cognito's tokens, and {@code JWT} by default
     * @return this
     * @throws IllegalArgumentException if there is none
     */
    public Builder types(String... values) {
      // A set that allows lookups of null, the type of a token without one.
      types =
          requireNonEmpty(Set.copyOf(List.of(values)), "type").stream()
              .map(JOSEObjectType::new)
              .collect(Collectors.toCollection(HashSet::new));
      return this;
    }

    /**
     * Sets by how much the clocks of this machine and of tokend may differ.
     *
     * @param value whole seconds, up to 5 minutes; a minute by default
     * @return this
     * @throws IllegalArgumentException when the leeway is not within these limits
     */
    public Builder leeway(Duration value) {
      if (value.isNegative() || value.compareTo(MAX_LEEWAY) > 0 || value.toNanosPart() != 0) {
        throw new IllegalArgumentException("leeway must be whole seconds from 0 to 300: " + value);
      }
      leeway = value;
      return this;
    }

    /**
     * Sets the URL of the keys, in place of the one in the issuer's discovery document.
     *
     * @param jwkSet the URL of the JWK set (RFC 7517)
     * @return this
     */
    public Builder keysAt(URI jwkSet) {
      keysAt = Objects.requireNonNull(jwkSet, "jwkSet");
      return this;
    }

    /**
     * Sets the clock.
     *
     * @param value the clock; the system's by default
     * @return this
     */
    public Builder clock(InstantSource value) {
      clock = Objects.requireNonNull(value, "clock");
      return this;
    }

    /**
     * Builds the verifier. Keys are fetched on first use.
     *
     * @return the verifier
     */
    public TokenVerifier build() {
      return new TokenVerifier(this, Keys.of(new IssuerKeys(issuer, keysAt)));
    }

    private static <T> Set<T> requireNonEmpty(Set<T> values, String name) {
      if (values.isEmpty()) {
        throw new IllegalArgumentException("at least one " + name + " is required");
      }
      return values;
    }
  }
}
