package tokend.spring;

import java.util.Objects;
import java.util.function.Consumer;
import org.springframework.boot.http.client.ClientHttpRequestFactoryBuilder;
import org.springframework.boot.http.client.HttpClientSettings;
import org.springframework.boot.http.client.HttpRedirects;
import org.springframework.web.client.RestClient;
import tokend.client.TokenSource;

/**
 * Has {@code RestClient}s attach tokens: {@code builder.apply(tokens.of(source))}. They keep the application's settings of
 * HTTP clients, but follow no redirect, since the token would go wherever it leads.
 */
public final class RestClientTokens {
  private final ClientHttpRequestFactoryBuilder<?> factories;
  private final HttpClientSettings settings;

  /**
   * Takes the settings of HTTP clients.
   *
   * @param factories makes request factories
   * @param settings the timeouts and the SSL bundle; its redirects do not count
   */
  public RestClientTokens(ClientHttpRequestFactoryBuilder<?> factories, HttpClientSettings settings) {
    this.factories = Objects.requireNonNull(factories, "factories");
    this.settings = settings.withRedirects(HttpRedirects.DONT_FOLLOW);
  }

  /**
   * Attaches the tokens of one source, over TLS alone.
   *
   * @param source the source, which the caller goes on to own
   * @return for {@link RestClient.Builder#apply}
   */
  public Consumer<RestClient.Builder> of(TokenSource source) {
    return by(new TokendClientHttpRequestInterceptor(source));
  }

  /**
   * Attaches the tokens of an interceptor.
   *
   * @param interceptor such as one that has a source for each user, or that allows plaintext
   * @return for {@link RestClient.Builder#apply}
   */
  public Consumer<RestClient.Builder> by(TokendClientHttpRequestInterceptor interceptor) {
    Objects.requireNonNull(interceptor, "interceptor");
    return builder -> builder.requestFactory(factories.build(settings)).requestInterceptor(interceptor);
  }
}
