package example.spring;

import static org.assertj.core.api.Assertions.assertThat;

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.boot.web.server.servlet.context.ServletWebServerApplicationContext;
import tokend.client.Token;
import tokend.client.TokenCache;
import tokend.client.TokenRequest;
import tokend.client.TokenSource;
import tokend.spring.ClientBuilderCustomizer;

/** The application with only the starter. */
class ApplicationTest {
  private static ServletWebServerApplicationContext run(Tokend tokend) {
    return (ServletWebServerApplicationContext)
        new SpringApplicationBuilder(Application.class)
            .initializers(
                context -> context.getBeanFactory().registerSingleton("customizer", tokend.customizer()))
            .properties(tokend.properties())
            .properties(
                "server.port=0",
                "server.address=127.0.0.1",
                "spring.main.banner-mode=off",
                "management.endpoints.web.exposure.include=health,metrics",
                "management.endpoint.health.show-components=always")
            .run();
  }

  private static HttpResponse<String> get(
      ServletWebServerApplicationContext context, String path, @Nullable Token token) throws Exception {
    int port = context.getWebServer().getPort();
    HttpRequest.Builder request = HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + port + path));
    if (token != null) {
      request.header("Authorization", "Bearer " + token.value());
    }
    return HttpClient.newHttpClient().send(request.build(), BodyHandlers.ofString());
  }

  @Test
  void tokensAreAcceptedAttachedAndCounted() throws Exception {
    try (Tokend tokend = Tokend.find();
        ServletWebServerApplicationContext context = run(tokend)) {
      assertThat(context.getBeansOfType(ClientBuilderCustomizer.class)).hasSize(1);
      assertThat(get(context, "/orders", null).statusCode()).isEqualTo(401);
      Token own = context.getBean(TokenSource.class).token();
      Token alice =
          context
              .getBean(TokenCache.class)
              .token(
                  TokenRequest.builder(String.valueOf(tokend.properties().get("tokend.token.pool")))
                      .login(String.valueOf(tokend.properties().get("tokend.token.provider")), "alice")
                      .principalTag("team", "red")
                      .build());

      HttpResponse<String> orders = get(context, "/orders", alice);

      assertThat(orders.statusCode()).as(orders.body()).isEqualTo(200);
      assertThat(orders.body()).isEqualTo(alice.identityId() + " of red; stock for " + own.identityId());
      assertThat(get(context, "/actuator/health", null).body()).contains("\"tokend\":{\"status\":\"UP\"}");
      assertThat(get(context, "/actuator/metrics/tokend.client.refreshes?tag=error.type:none", alice).body())
          .contains("\"value\":2.0");
      assertThat(get(context, "/actuator/metrics/tokend.client.cache.users", alice).body()).contains("\"value\":1.0");
      String altered = alice.value().substring(0, alice.value().lastIndexOf('.'));
      assertThat(
              get(context, "/orders", new Token("", altered + ".AAAA", null, alice.expireTime(), alice.refreshTime()))
                  .statusCode())
          .isEqualTo(401);
    }
  }

  @Test
  void requestFailsWith500WithoutKeys() throws Exception {
    try (Tokend tokend = Tokend.find()) {
      tokend.properties().put("tokend.verifier.keys-at", "http://127.0.0.1:1/");
      try (ServletWebServerApplicationContext context = run(tokend)) {
        Token own = context.getBean(TokenSource.class).token();

        assertThat(get(context, "/stock", own).statusCode()).isEqualTo(500);
      }
    }
  }
}
