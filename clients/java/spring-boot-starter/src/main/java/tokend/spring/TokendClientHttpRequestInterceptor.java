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
 * Attaches a token to the requests of {@code RestClient} and {@code RestTemplate}, as {@code Authorization: Bearer},
 * and retries a request once with a new token when the called service responds with 401. The rejected token is dropped
 * from its source. Without a token, requests fail with the {@link TokendException} of the refresh.
 *
 * <p>An interceptor does not see the redirects that the request factory follows, and the JDK's factory sends the token
 * to any redirect target: use a request factory that follows no redirects, as {@link RestClientTokens} does.
 * Thread-safe.
 */
public final class TokendClientHttpRequestInterceptor implements ClientHttpRequestInterceptor {
  private final Function<HttpRequest, TokenSource> sources;
  private final boolean plaintextAllowed;

  /**
   * Creates an interceptor with one source.
   *
   * @param source the source; the caller remains responsible for closing it
   */
  public TokendClientHttpRequestInterceptor(TokenSource source) {
    this(always(Objects.requireNonNull(source, "source")));
  }

  /**
   * Creates an interceptor that selects a source for each request, such as the source of a {@code TokenCache} for the
   * application's current user.
   *
   * @param sources returns the source for a request; called on the thread that sends it
   */
  public TokendClientHttpRequestInterceptor(Function<HttpRequest, TokenSource> sources) {
    this(Objects.requireNonNull(sources, "sources"), false);
  }

  private TokendClientHttpRequestInterceptor(Function<HttpRequest, TokenSource> sources, boolean plaintextAllowed) {
    this.sources = sources;
    this.plaintextAllowed = plaintextAllowed;
  }

  /**
   * Returns an interceptor that also sends tokens over connections without TLS: for the loopback, and for a sidecar
   * that adds TLS.
   *
   * @return an interceptor with the same sources
   */
  public TokendClientHttpRequestInterceptor allowingPlaintext() {
    return new TokendClientHttpRequestInterceptor(sources, true);
  }

  /**
   * Sends a request.
   *
   * @param request the request; its {@code Authorization} header is replaced
   * @param body the body, in memory, so that every request can be retried
   * @param execution sends the request
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
    // Later interceptors add their headers to each attempt.
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
