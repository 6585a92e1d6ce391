package tokend.spring;

import java.io.IOException;
import java.util.Objects;
import java.util.function.Function;
import org.springframework.http.HttpHeaders;
import org.springframework.http.HttpRequest;
import org.springframework.http.HttpStatus;
import org.springframework.http.client.ClientHttpRequestExecution;
import org.springframework.http.client.ClientHttpRequestInterceptor;
import org.springframework.http.client.ClientHttpResponse;
import tokend.client.Token;
import tokend.client.TokenSource;
import tokend.client.TokendException;

/**
 * Attaches a token to the requests of {@code RestClient} and {@code RestTemplate}, as {@code Authorization: Bearer}, and
 * sends a request once more with a new token when the other service answers 401. The rejected token is dropped from its
 * source. Where there is no token, requests fail with the {@link TokendException} of the refresh.
 *
 * <p>An interceptor does not see the redirects that the request factory follows, and those of the JDK take the token to
 * whatever host they lead to: use a request factory that follows none. {@link RestClientTokens} does. Safe to use by many
 * threads at once.
 */
public final class TokendClientHttpRequestInterceptor implements ClientHttpRequestInterceptor {
  private final Function<HttpRequest, TokenSource> sources;
  private final boolean plaintextAllowed;

  /**
   * Attaches the tokens of one source.
   *
   * @param source the source, which the caller goes on to own
   */
  public TokendClientHttpRequestInterceptor(TokenSource source) {
    this(always(Objects.requireNonNull(source, "source")));
  }

  /**
   * Attaches the tokens of a source that is chosen for each request, such as one of a {@code TokenCache} for the user whom
   * the application serves.
   *
   * @param sources gives the source for a request, on the thread that sends it
   */
  public TokendClientHttpRequestInterceptor(Function<HttpRequest, TokenSource> sources) {
    this(Objects.requireNonNull(sources, "sources"), false);
  }

  private TokendClientHttpRequestInterceptor(Function<HttpRequest, TokenSource> sources, boolean plaintextAllowed) {
    this.sources = sources;
    this.plaintextAllowed = plaintextAllowed;
  }

  /**
   * Sends tokens over connections without TLS, too: for the loopback, and for a sidecar that adds TLS.
   *
   * @return an interceptor of the same sources
   */
  public TokendClientHttpRequestInterceptor allowingPlaintext() {
    return new TokendClientHttpRequestInterceptor(sources, true);
  }

  /**
   * Sends a request.
   *
   * @param request the request; an {@code Authorization} of its own is replaced
   * @param body is held in memory, so that every request can be sent again
   * @param execution sends it
   * @return the response, of the second attempt if there was one
   * @throws IOException when the request fails
   * @throws TokendException when there is no token
   * @throws IllegalArgumentException when the request would send the token without TLS
   */
  @Override
  public ClientHttpResponse intercept(HttpRequest request, byte[] body, ClientHttpRequestExecution execution)
      throws IOException {
    if (!plaintextAllowed && !"https".equalsIgnoreCase(request.getURI().getScheme())) {
      throw new IllegalArgumentException("tokens are not sent over a connection without TLS");
    }
    TokenSource source = sources.apply(request);
    Token token = source.token();
    HttpHeaders asked = HttpHeaders.copyOf(request.getHeaders());
    ClientHttpResponse response = attempt(request, body, execution, token);
    if (!isRejected(response)) {
      return response;
    }
    response.close();
    source.invalidate(token);
    // Interceptors behind this one add theirs to each attempt.
    request.getHeaders().clear();
    request.getHeaders().putAll(asked);
    return attempt(request, body, execution, source.token());
  }

  private static ClientHttpResponse attempt(
      HttpRequest request, byte[] body, ClientHttpRequestExecution execution, Token token) throws IOException {
    request.getHeaders().setBearerAuth(token.value());
    return execution.execute(request, body);
  }

  private static boolean isRejected(ClientHttpResponse response) throws IOException {
    try {
      return response.getStatusCode().isSameCodeAs(HttpStatus.UNAUTHORIZED);
    } catch (IOException e) {
      response.close();
      throw e;
    }
  }

  private static Function<HttpRequest, TokenSource> always(TokenSource source) {
    return request -> source;
  }
}
