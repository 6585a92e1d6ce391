package tokend.spring;

import org.springframework.beans.factory.ObjectProvider;
import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnClass;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.boot.http.client.ClientHttpRequestFactoryBuilder;
import org.springframework.boot.http.client.HttpClientSettings;
import org.springframework.context.annotation.Bean;
import org.springframework.web.client.RestClient;

/** Auto-configuration of {@link RestClientTokens}, if the application uses Spring Boot's HTTP clients. */
@AutoConfiguration(
    afterName = "org.springframework.boot.http.client.autoconfigure.imperative.ImperativeHttpClientAutoConfiguration")
@ConditionalOnClass({RestClient.class, ClientHttpRequestFactoryBuilder.class})
public final class TokendRestClientAutoConfiguration {
  TokendRestClientAutoConfiguration() {}

  @Bean
  @ConditionalOnMissingBean
  RestClientTokens tokendRestClientTokens(
      ObjectProvider<ClientHttpRequestFactoryBuilder<?>> factories, ObjectProvider<HttpClientSettings> settings) {
    return new RestClientTokens(
        factories.getIfAvailable(ClientHttpRequestFactoryBuilder::detect),
        settings.getIfAvailable(HttpClientSettings::defaults));
  }
}
