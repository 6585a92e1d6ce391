package example.spring;

import jakarta.servlet.DispatcherType;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.context.annotation.Bean;
import org.springframework.security.config.Customizer;
import org.springframework.security.config.annotation.web.builders.HttpSecurity;
import org.springframework.security.web.SecurityFilterChain;
import org.springframework.web.client.RestClient;
import tokend.client.TokenSource;
import tokend.spring.RestClientTokens;
import tokend.spring.TokendClientHttpRequestInterceptor;

/** A service that accepts tokend's tokens, and calls another service with its own token. */
@SpringBootApplication
class Application {
  @Bean
  SecurityFilterChain security(HttpSecurity http) {
    return http.authorizeHttpRequests(
            requests ->
                requests
                    .dispatcherTypeMatchers(DispatcherType.ERROR)
                    .permitAll()
                    .requestMatchers("/actuator/health")
                    .permitAll()
                    .anyRequest()
                    .authenticated())
        .oauth2ResourceServer(server -> server.jwt(Customizer.withDefaults()))
        .build();
  }

  /** The example calls itself over the loopback. */
  @Bean
  RestClient stock(RestClient.Builder builder, RestClientTokens tokens, TokenSource source) {
    return builder.apply(tokens.by(new TokendClientHttpRequestInterceptor(source).allowingPlaintext())).build();
  }
}
