/**
 * A client of tokend: the four developer-identity operations, and tokens that stay fresh.
 *
 * <p>{@link tokend.client.Client} makes single calls. {@link tokend.client.CachedTokenSource} keeps the token of
 * one user and {@link tokend.client.TokenCache} those of many; {@link tokend.client.TokendCallCredentials} attaches a
 * token to the calls of other gRPC services, and {@link tokend.client.TokendClientInterceptor} replaces a rejected one.
 * Every failure is a {@link tokend.client.TokendException}.
 *
 * <p>What is not marked {@link org.jspecify.annotations.Nullable} is never null. In requests an empty string stands for
 * a value that is not given, as it does in the contract.
 */
@NullMarked
package tokend.client;

import org.jspecify.annotations.NullMarked;
