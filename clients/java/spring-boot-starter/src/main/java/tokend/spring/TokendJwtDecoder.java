package tokend.spring;

import com.nimbusds.jwt.SignedJWT;
import java.text.ParseException;
import java.util.Map;
import java.util.Objects;
import org.springframework.core.convert.converter.Converter;
import org.springframework.security.oauth2.jwt.BadJwtException;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.security.oauth2.jwt.JwtDecoder;
import org.springframework.security.oauth2.jwt.JwtException;
import org.springframework.security.oauth2.jwt.MappedJwtClaimSetConverter;
import tokend.verifier.KeysUnavailableException;
import tokend.verifier.TokenRejectedException;
import tokend.verifier.TokenVerifier;

/**
 * A JWT decoder for Spring Security that accepts the tokens of a {@link TokenVerifier}. Spring's own decoder rejects
 * their {@code typ}, which is {@code JWS} as in Cognito's tokens.
 */
public final class TokendJwtDecoder implements JwtDecoder {
  private final TokenVerifier verifier;
  private final Converter<Map<String, Object>, Map<String, Object>> claims =
      MappedJwtClaimSetConverter.withDefaults(Map.of());

  /**
   * Creates a decoder.
   *
   * @param verifier verifies the tokens
   */
  public TokendJwtDecoder(TokenVerifier verifier) {
    this.verifier = Objects.requireNonNull(verifier, "verifier");
  }

  /**
   * Verifies a token.
   *
   * @param token a JWT in compact form; sensitive
   * @return the token with its claims
   * @throws BadJwtException if the token is not valid for the verifier; Spring Security responds with 401
   * @throws JwtException if the issuer's keys are not available; Spring Security responds with 500
   */
  @Override
  public Jwt decode(String token) {
    try {
      verifier.verify(token);
      SignedJWT verified = SignedJWT.parse(token);
      Map<String, Object> converted = claims.convert(verified.getJWTClaimsSet().getClaims());
      return Jwt.withTokenValue(token)
          .headers(headers -> headers.putAll(verified.getHeader().toJSONObject()))
          .claims(all -> all.putAll(Objects.requireNonNull(converted)))
          .build();
    } catch (TokenRejectedException e) {
      throw new BadJwtException("the token is rejected: " + e.getMessage(), e);
    } catch (ParseException e) {
      // The cause's text may contain the token.
      throw new BadJwtException("the token is rejected: it is not a JWT");
    } catch (KeysUnavailableException e) {
      throw new JwtException("the issuer's keys are not available", e);
    }
  }
}
