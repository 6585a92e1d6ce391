/**
 * tokend for Spring Boot: the client, the tokens of the application and of its users, and the verifier as beans, with
 * health and metrics.
 *
 * <p>{@link tokend.spring.TokendProperties} shows what can be set. {@link
 * tokend.spring.TokendClientHttpRequestInterceptor} attaches tokens to the requests of Spring's HTTP clients.
 */
@NullMarked
package tokend.spring;

import org.jspecify.annotations.NullMarked;
