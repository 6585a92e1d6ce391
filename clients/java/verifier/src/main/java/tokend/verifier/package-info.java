/**
 * Verifies the tokens of tokend: {@link tokend.verifier.TokenVerifier}, and {@link tokend.verifier.IdentityInterceptor} for
 * gRPC servers.
 */
@NullMarked
package tokend.verifier;

import org.jspecify.annotations.NullMarked;
