package tokend.spring;

import io.micrometer.core.instrument.MeterRegistry;
import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBean;
import org.springframework.boot.autoconfigure.condition.ConditionalOnClass;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.boot.autoconfigure.condition.ConditionalOnSingleCandidate;
import org.springframework.context.annotation.Bean;
import tokend.client.Client;
import tokend.micrometer.MicrometerMetrics;

/** Auto-configuration of the client's metrics in the application's Micrometer registry, if both exist. */
@AutoConfiguration(
    after = TokendAutoConfiguration.class,
    afterName = {
      "org.springframework.boot.micrometer.metrics.autoconfigure.MetricsAutoConfiguration",
      "org.springframework.boot.micrometer.metrics.autoconfigure.CompositeMeterRegistryAutoConfiguration"
    })
@ConditionalOnClass(MeterRegistry.class)
@ConditionalOnBean(Client.class)
@ConditionalOnSingleCandidate(MeterRegistry.class)
public final class TokendMetricsAutoConfiguration {
  TokendMetricsAutoConfiguration() {}

  @Bean
  @ConditionalOnMissingBean
  MicrometerMetrics tokendMicrometerMetrics(MeterRegistry registry) {
    return new MicrometerMetrics(registry);
  }
}
