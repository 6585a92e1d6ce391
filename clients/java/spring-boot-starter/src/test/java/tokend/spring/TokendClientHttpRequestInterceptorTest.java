package tokend.spring;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import com.nimbusds.jose.JWSAlgorithm;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import io.grpc.Status;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.time.InstantSource;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.springframework.boot.http.client.ClientHttpRequestFactoryBuilder;
import org.springframework.boot.http.client.HttpClientSettings;
import org.springframework.web.client.RestClient;
import tokend.client.CachedTokenSource;
import tokend.client.Client;
import tokend.client.ErrorReason;
import tokend.client.TokenCache;
import tokend.client.TokenRequest;
import tokend.client.TokendException;
import tokend.client.testing.Failure;
import tokend.client.testing.FakeTokendServer;

class TokendClientHttpRequestInterceptorTest {
  // ES256 tokens differ; RSA tokens of the same second are equal.
  private final FakeTokendServer tokend = FakeTokendServer.start(InstantSource.system(), JWSAlgorithm.ES256);
  private final Client client = tokend.client();
  private final CachedTokenSource source = client.tokenSource(user("alice"));
  private final TokendClientHttpRequestInterceptor interceptor =
      new TokendClientHttpRequestInterceptor(source).allowingPlaintext();
  private final RestClientTokens tokens =
      new RestClientTokens(ClientHttpRequestFactoryBuilder.detect(), HttpClientSettings.defaults());
  private final List<String> seen = new CopyOnWriteArrayList<>();
  private final List<List<String>> marks = new CopyOnWriteArrayList<>();
  private final List<String> seenElsewhere = new CopyOnWriteArrayList<>();
  private HttpServer orders;
  private HttpServer elsewhere;

  private static TokenRequest user(String name) {
    return TokenRequest.of(FakeTokendServer.IDENTITY_POOL_ID, FakeTokendServer.DEVELOPER_PROVIDER_NAME, name);
  }

  /** Responds with 401 to the first request if the path says so. */
  @BeforeEach
  void serve() throws IOException {
    elsewhere = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    elsewhere.createContext("/", exchange -> answer(exchange, seenElsewhere, 200));
    elsewhere.start();
    orders = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    orders.createContext("/", exchange -> answer(exchange, seen, 200));
    orders.createContext(
        "/once",
        exchange -> {
          marks.add(exchange.getRequestHeaders().getOrDefault("Mark", List.of()));
          answer(exchange, seen, seen.isEmpty() ? 401 : 200);
        });
    orders.createContext("/never", exchange -> answer(exchange, seen, 401));
    orders.createContext(
        "/moved",
        exchange -> {
          exchange
              .getResponseHeaders()
              .set("Location", "http://localhost:" + elsewhere.getAddress().getPort() + "/");
          answer(exchange, seen, 302);
        });
    orders.start();
  }

  @AfterEach
  void stop() {
    orders.stop(0);
    elsewhere.stop(0);
    source.close();
    tokend.close();
  }

  private static void answer(HttpExchange exchange, List<String> seen, int status) throws IOException {
    String body = new String(exchange.getRequestBody().readAllBytes(), StandardCharsets.UTF_8);
    String authorization = exchange.getRequestHeaders().getFirst("Authorization");
    // The status is chosen before the request is recorded.
    seen.add(authorization + " " + body);
    exchange.sendResponseHeaders(status, -1);
    exchange.close();
  }

  private RestClient restClient(TokendClientHttpRequestInterceptor attaching) {
    return RestClient.builder()
        .baseUrl("http://127.0.0.1:" + orders.getAddress().getPort())
        .apply(tokens.by(attaching))
        .defaultStatusHandler(status -> true, (request, response) -> {})
        .build();
  }

  private int post(RestClient restClient, String path) {
    return restClient.post().uri(path).body("order").retrieve().toBodilessEntity().getStatusCode().value();
  }

  @Test
  void requestsSendToken() {
    assertThat(post(restClient(interceptor), "/")).isEqualTo(200);

    assertThat(seen).containsExactly("Bearer " + source.token().value() + " order");
  }

  @Test
  void rejectedTokenIsReplacedOnceAndBodyResent() {
    String first = source.token().value();

    assertThat(post(restClient(interceptor), "/once")).isEqualTo(200);

    assertThat(source.token().value()).isNotEqualTo(first);
    assertThat(seen).containsExactly("Bearer " + first + " order", "Bearer " + source.token().value() + " order");
  }

  @Test
  void retriedRequestHasSameHeaders() {
    RestClient marking =
        restClient(interceptor)
            .mutate()
            .requestInterceptor(
                (request, body, execution) -> {
                  request.getHeaders().add("Mark", "behind");
                  return execution.execute(request, body);
                })
            .build();

    marking.post().uri("/once").header("Mark", "before").body("order").retrieve().toBodilessEntity();

    assertThat(marks).containsExactly(List.of("before", "behind"), List.of("before", "behind"));
  }

  @Test
  void secondRejectionIsReturned() {
    assertThat(post(restClient(interceptor), "/never")).isEqualTo(401);

    assertThat(seen).hasSize(2);
  }

  @Test
  void eachRequestMayHaveItsOwnSource() {
    try (TokenCache cache = client.tokenCache()) {
      var ofUsers =
          new TokendClientHttpRequestInterceptor(
                  request -> cache.source(user(String.valueOf(request.getURI().getQuery()))))
              .allowingPlaintext();

      post(restClient(ofUsers), "/?alice");
      post(restClient(ofUsers), "/?bob");

      assertThat(seen)
          .containsExactly(
              "Bearer " + cache.token(user("alice")).value() + " order",
              "Bearer " + cache.token(user("bob")).value() + " order");
    }
  }

  @Test
  void tokenIsNotSentWithoutTls() {
    RestClient careful = restClient(new TokendClientHttpRequestInterceptor(source));

    assertThatIllegalArgumentException().isThrownBy(() -> post(careful, "/")).withMessageContaining("TLS");
    assertThat(seen).isEmpty();
  }

  @Test
  void withoutTokenRequestFailsWithCause() {
    tokend.failNext(Failure.of(ErrorReason.NOT_AUTHORIZED));

    assertThatExceptionOfType(TokendException.class)
        .isThrownBy(() -> post(restClient(interceptor), "/"))
        .satisfies(
            failure -> assertThat(failure.downstreamCode()).isEqualTo(Status.Code.PERMISSION_DENIED));
    assertThat(seen).isEmpty();
  }

  @Test
  void redirectsAreNotFollowed() {
    int status = restClient(interceptor).get().uri("/moved").retrieve().toBodilessEntity().getStatusCode().value();

    assertThat(status).isEqualTo(302);
    assertThat(seenElsewhere).isEmpty();
  }
}
