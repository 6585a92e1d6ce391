package tokend.spring;

import io.grpc.ChannelCredentials;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.springframework.beans.factory.ObjectProvider;
import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.boot.autoconfigure.condition.ConditionalOnProperty;
import org.springframework.boot.autoconfigure.ssl.SslAutoConfiguration;
import org.springframework.boot.context.properties.EnableConfigurationProperties;
import org.springframework.boot.context.properties.source.InvalidConfigurationPropertyValueException;
import org.springframework.boot.ssl.SslBundles;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import tokend.client.CachedTokenSource;
import tokend.client.CachingPolicy;
import tokend.client.Client;
import tokend.client.ClientBuilder;
import tokend.client.ClientMetrics;
import tokend.client.TokenCache;
import tokend.client.TokenRequest;
import tokend.client.TokenSource;
import tokend.verifier.TokenVerifier;

/** Auto-configuration of the client with its caches, and of the verifier, each if its properties are set. */
@AutoConfiguration(after = SslAutoConfiguration.class)
@EnableConfigurationProperties(TokendProperties.class)
public final class TokendAutoConfiguration {
  TokendAutoConfiguration() {}

  /**
   * The client, its sources and its cache. Spring closes beans in reverse order of their creation: the sources before
   * the client.
   */
  @Configuration(proxyBeanMethods = false)
  @ConditionalOnProperty("tokend.target")
  static final class Calling {
    @Bean
    @ConditionalOnMissingBean
    Client tokendClient(
        TokendProperties properties,
        ObjectProvider<SslBundles> bundles,
        ObjectProvider<ClientMetrics> metrics,
        ObjectProvider<ClientBuilderCustomizer> customizers) {
      ClientBuilder builder =
          Client.builder(Objects.requireNonNull(properties.target()))
              .deadline(properties.deadline())
              .keepAlive(properties.keepAlive().time(), properties.keepAlive().timeout());
      if (properties.plaintext()) {
        builder.plaintext();
      }
      if (properties.bearerTokenFile() != null) {
        builder.bearerTokenFile(properties.bearerTokenFile());
      }
      ChannelCredentials credentials = credentials(properties.ssl().bundle(), bundles);
      if (credentials != null) {
        builder.channelCredentials(credentials);
      }
      metrics.orderedStream().forEach(builder::metrics);
      customizers.orderedStream().forEach(customizer -> customizer.customize(builder));
      return built(builder, properties.target());
    }

    /** The target is checked here, since a customizer may have set another transport, which interprets it. */
    private static Client built(ClientBuilder builder, @Nullable String target) {
      try {
        return builder.build();
      } catch (IllegalArgumentException e) {
        var wrong =
            new InvalidConfigurationPropertyValueException("tokend.target", target, String.valueOf(e.getMessage()));
        wrong.addSuppressed(e);
        throw wrong;
      }
    }

    private static @Nullable ChannelCredentials credentials(
        @Nullable String bundle, ObjectProvider<SslBundles> bundles) {
      return bundle == null ? null : BundleCredentials.of(bundle, bundles.getObject());
    }

    @Bean
    @ConditionalOnMissingBean
    CachingPolicy tokendCachingPolicy(TokendProperties properties) {
      return CachingPolicy.defaults()
          .withSkew(properties.cache().skew())
          .withRefreshTimeout(properties.cache().refreshTimeout());
    }

    @Bean
    @ConditionalOnMissingBean
    TokenCache tokendTokenCache(Client client, CachingPolicy policy, TokendProperties properties) {
      return client.tokenCache(policy, properties.cache().maxUsers());
    }

    @Bean
    @ConditionalOnMissingBean(TokenSource.class)
    @ConditionalOnProperty("tokend.token.pool")
    CachedTokenSource tokendTokenSource(Client client, CachingPolicy policy, TokendProperties properties) {
      return client.tokenSource(request(Objects.requireNonNull(properties.token())), policy);
    }

    private static TokenRequest request(TokendProperties.Token token) {
      TokenRequest.Builder request =
          TokenRequest.builder(Objects.requireNonNull(token.pool()))
              .login(Objects.requireNonNull(token.provider()), user(token));
      token.principalTags().forEach(request::principalTag);
      if (token.duration() != null) {
        request.tokenDuration(token.duration());
      }
      return request.build();
    }

    private static String user(TokendProperties.Token token) {
      try {
        return token.userFile() == null ? Objects.requireNonNull(token.user()) : UserFile.read(token.userFile());
      } catch (IOException e) {
        throw new UncheckedIOException("tokend.token.user-file cannot be read", e);
      }
    }
  }

  /** The verifier. */
  @Configuration(proxyBeanMethods = false)
  @ConditionalOnProperty("tokend.verifier.issuer")
  static final class Verifying {
    @Bean
    @ConditionalOnMissingBean
    TokenVerifier tokendTokenVerifier(TokendProperties properties) {
      return VerifierFactory.create(Objects.requireNonNull(properties.verifier()));
    }
  }
}
