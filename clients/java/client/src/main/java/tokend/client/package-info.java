/**
 * The Java client of tokend: the four developer-identity operations, and a cache of tokens.
 *
 * <p>{@link tokend.client.Client} makes single calls. {@link tokend.client.CachedTokenSource} caches the token of one
 * user, {@link tokend.client.TokenCache} the tokens of many. {@link tokend.client.TokendCallCredentials} attaches a
 * token to calls to other gRPC services, and {@link tokend.client.TokendClientInterceptor} also replaces a rejected
 * token. Every failure is a {@link tokend.client.TokendException}.
 *
 * <p>A value that is not marked {@link org.jspecify.annotations.Nullable} is never null. In requests, as in the
 * contract, an empty string means that the value is not given.
 */
@NullMarked
package tokend.client;

import org.jspecify.annotations.NullMarked;
