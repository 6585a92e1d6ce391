package tokend.spring;

import com.nimbusds.jose.JWSAlgorithm;
import java.util.Objects;
import tokend.verifier.TokenVerifier;

/** Creates a verifier from valid properties. */
final class VerifierFactory {
  private VerifierFactory() {}

  static TokenVerifier create(TokendProperties.Verifier properties) {
    TokenVerifier.Builder builder =
        TokenVerifier.builder(
                Objects.requireNonNull(properties.issuer()), properties.audiences().toArray(String[]::new))
            .algorithms(properties.algorithms().stream().map(JWSAlgorithm::parse).toArray(JWSAlgorithm[]::new))
            .types(properties.types().toArray(String[]::new))
            .leeway(properties.leeway());
    return properties.keysAt() == null ? builder.build() : builder.keysAt(properties.keysAt()).build();
  }
}
