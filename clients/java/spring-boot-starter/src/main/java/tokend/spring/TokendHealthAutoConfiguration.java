package tokend.spring;

import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnClass;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.boot.autoconfigure.condition.ConditionalOnSingleCandidate;
import org.springframework.boot.health.autoconfigure.contributor.ConditionalOnEnabledHealthIndicator;
import org.springframework.boot.health.contributor.HealthIndicator;
import org.springframework.context.annotation.Bean;
import tokend.client.Client;

/** Auto-configuration of the health indicator {@code tokend}, if the application uses Spring Boot's health module. */
@AutoConfiguration(after = TokendAutoConfiguration.class)
@ConditionalOnClass({HealthIndicator.class, ConditionalOnEnabledHealthIndicator.class})
@ConditionalOnEnabledHealthIndicator("tokend")
@ConditionalOnSingleCandidate(Client.class)
public final class TokendHealthAutoConfiguration {
  TokendHealthAutoConfiguration() {}

  @Bean
  LastRefresh tokendLastRefresh() {
    return new LastRefresh();
  }

  @Bean
  @ConditionalOnMissingBean(name = "tokendHealthIndicator")
  HealthIndicator tokendHealthIndicator(Client client, LastRefresh lastRefresh) {
    return new TokendHealthIndicator(client, lastRefresh);
  }
}
