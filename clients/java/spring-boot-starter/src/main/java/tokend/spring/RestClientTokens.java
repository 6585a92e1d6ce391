package tokend.spring;

import java.util.Objects;
import java.util.function.Consumer;
import org.springframework.boot.http.client.ClientHttpRequestFactoryBuilder;
import org.springframework.boot.http.client.HttpClientSettings;
import org.springframework.boot.http.client.HttpRedirects;
import org.springframework.web.client.RestClient;
import tokend.client.TokenSource;

/**
 * Makes {@code RestClient}s attach tokens: {@code builder.apply(tokens.of(source))}. They use the application's
 * settings of HTTP clients, but follow no redirects, which would send the token to any host.
 */
public final class RestClientTokens {
  private final ClientHttpRequestFactoryBuilder<?> factories;
  private final HttpClientSettings settings;

  /**
   * Creates an instance with the settings of HTTP clients.
   *
   * @param factories creates request factories
   * @param settings the timeouts and the SSL bundle; the setting for redirects is ignored
   */
  public RestClientTokens(ClientHttpRequestFactoryBuilder<?> factories, HttpClientSettings settings) {
    this.factories = Objects.requireNonNull(factories, "factories");
    this.settings = settings.withRedirects(HttpRedirects.DONT_FOLLOW);
  }

  /**
   * Attaches the tokens of one source, over TLS only.
   *
   * @param source the source; the caller remains responsible for closing it
   * @return for {@link RestClient.Builder#apply}
   */
  public Consumer<RestClient.Builder> of(TokenSource source) {
    return by(new TokendClientHttpRequestInterceptor(source));
  }

  /**
   * Attaches the tokens of an interceptor.
   *
   * @param interceptor for example one with a source for each user, or one that allows plaintext
   * @return for {@link RestClient.Builder#apply}
   */
  public Consumer<RestClient.Builder> by(TokendClientHttpRequestInterceptor interceptor) {
    Objects.requireNonNull(interceptor, "interceptor");
    return builder -> builder.requestFactory(factories.build(settings)).requestInterceptor(interceptor);
  }
}
