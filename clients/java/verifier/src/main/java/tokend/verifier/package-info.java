/**
 * Verification of tokend's tokens: {@link tokend.verifier.TokenVerifier}, with {@link
 * tokend.verifier.IdentityInterceptor} for gRPC servers and {@link tokend.verifier.IdentityFilter} for servlets.
 */
@NullMarked
package tokend.verifier;

import org.jspecify.annotations.NullMarked;
