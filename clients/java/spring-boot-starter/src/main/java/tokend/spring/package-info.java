/**
 * tokend for Spring Boot: beans for the client, for the tokens of the application and of its users, and for the
 * verifier, with health and metrics.
 *
 * <p>{@link tokend.spring.TokendProperties} documents the properties. {@link
 * tokend.spring.TokendClientHttpRequestInterceptor} attaches tokens to the requests of Spring's HTTP clients.
 */
@NullMarked
package tokend.spring;

import org.jspecify.annotations.NullMarked;
