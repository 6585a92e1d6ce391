package tokend.spring;

import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnClass;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.boot.autoconfigure.condition.ConditionalOnSingleCandidate;
import org.springframework.context.annotation.Bean;
import org.springframework.security.oauth2.jwt.JwtDecoder;
import tokend.verifier.TokenVerifier;

/**
 * Auto-configuration of the decoder of a resource server, if there is a verifier and Spring Security's {@code
 * oauth2-jose}.
 */
@AutoConfiguration(
    after = TokendAutoConfiguration.class,
    beforeName =
        "org.springframework.boot.security.oauth2.server.resource.autoconfigure.servlet.OAuth2ResourceServerAutoConfiguration")
@ConditionalOnClass(JwtDecoder.class)
@ConditionalOnSingleCandidate(TokenVerifier.class)
public final class TokendJwtDecoderAutoConfiguration {
  TokendJwtDecoderAutoConfiguration() {}

  @Bean
  @ConditionalOnMissingBean
  JwtDecoder tokendJwtDecoder(TokenVerifier verifier) {
    return new TokendJwtDecoder(verifier);
  }
}
