package tokend.client;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import io.grpc.Context;
import io.grpc.Status;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.net.http.HttpTimeoutException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.Executors;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class TokendHttpClientTest {
  private final FakeCalls calls = new FakeCalls();
  private final CachedTokenSource source =
      new CachedTokenSource(FakeCalls.USER, calls, new ManualClock().policy(), new Refreshes(Telemetry.NONE));
  private final HttpClient http = HttpClient.newHttpClient();
  private final TokendHttpClient client = new TokendHttpClient(http, source).allowingPlaintext();
  private final List<String> seen = new CopyOnWriteArrayList<>();
  private final BlockingQueue<HttpExchange> held = new LinkedBlockingQueue<>();
  private HttpServer server;

  /** Responds with 401 to tokens that begin with "bad", never to tokens that begin with "held", else with 200. */
  @BeforeEach
  void start() throws IOException {
    server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    server.createContext(
        "/",
        exchange -> {
          String bearer = String.join(",", exchange.getRequestHeaders().getOrDefault("Authorization", List.of()));
          String body = new String(exchange.getRequestBody().readAllBytes(), StandardCharsets.UTF_8);
          seen.add(bearer + " " + body);
          if (bearer.startsWith("Bearer held")) {
            held.add(exchange);
            return;
          }
          byte[] answer = "answer".getBytes(StandardCharsets.UTF_8);
          exchange.sendResponseHeaders(bearer.startsWith("Bearer bad") ? 401 : 200, answer.length);
          exchange.getResponseBody().write(answer);
          exchange.close();
        });
    server.start();
  }

  @AfterEach
  void stop() {
    server.stop(0);
  }

  private HttpRequest.Builder request() {
    return HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + server.getAddress().getPort() + "/"))
        .header("authorization", "Basic of-its-own")
        .POST(BodyPublishers.ofString("order"));
  }

  private void give(String token) {
    calls.last().complete(FakeCalls.token(token, ManualClock.START, Duration.ofMinutes(15)));
  }

  private CompletableFuture<HttpResponse<String>> sent() {
    return client.sendAsync(request().build(), BodyHandlers.ofString());
  }

  @Test
  void requestSendsTokenInsteadOfItsOwnAuthorization() throws Exception {
    CompletableFuture<HttpResponse<String>> response = sent();
    assertThat(seen).isEmpty();
    give("good");

    assertThat(response.get().statusCode()).isEqualTo(200);
    assertThat(response.get().body()).isEqualTo("answer");
    assertThat(client.send(request().build(), BodyHandlers.ofString()).statusCode()).isEqualTo(200);
    assertThat(seen).containsExactly("Bearer good order", "Bearer good order");
  }

  @Test
  void rejectedTokenIsReplacedAndRequestRetried() throws Exception {
    CompletableFuture<HttpResponse<String>> response = sent();
    calls.onCall(2, () -> give("good"));
    give("bad");

    assertThat(response.get().statusCode()).isEqualTo(200);
    assertThat(seen).containsExactly("Bearer bad order", "Bearer good order");
    assertThat(source.token().value()).isEqualTo("good");
  }

  @Test
  void requestIsRetriedOnce() throws Exception {
    CompletableFuture<HttpResponse<String>> response = sent();
    calls.onCall(2, () -> give("bad2"));
    give("bad1");

    assertThat(response.get().statusCode()).isEqualTo(401);
    assertThat(response.get().body()).isEqualTo("answer");
    assertThat(seen).containsExactly("Bearer bad1 order", "Bearer bad2 order");
  }

  @Test
  void withoutTokenNothingIsSent() {
    CompletableFuture<HttpResponse<String>> response = sent();
    calls.last().completeExceptionally(TokendException.local(Status.Code.UNAVAILABLE, "scripted", null));

    assertThat(response).isCompletedExceptionally();
    assertThatExceptionOfType(TokendException.class)
        .isThrownBy(() -> client.send(request().build(), BodyHandlers.ofString()))
        .satisfies(e -> assertThat(e.code()).isEqualTo(Status.Code.UNAVAILABLE));
    assertThat(seen).isEmpty();
  }

  @Test
  void requestTimeoutLimitsWaitForToken() {
    HttpRequest hurried = request().timeout(Duration.ofMillis(50)).build();

    assertThatExceptionOfType(HttpTimeoutException.class)
        .isThrownBy(() -> client.send(hurried, BodyHandlers.ofString()));
  }

  @Test
  void contextDeadlineAppliesDuringRequest() throws Exception {
    source.tokenAsync();
    give("held");
    ScheduledExecutorService scheduler = Executors.newSingleThreadScheduledExecutor();
    try (Context.CancellableContext hurried =
        Context.current().withDeadlineAfter(500, TimeUnit.MILLISECONDS, scheduler)) {
      assertThatExceptionOfType(HttpTimeoutException.class)
          .isThrownBy(() -> hurried.call(() -> client.send(request().build(), BodyHandlers.ofString())));
    } finally {
      scheduler.shutdownNow();
    }
  }

  @Test
  void cancelledContextCancelsRequest() throws Exception {
    source.tokenAsync();
    give("held");
    Context.CancellableContext caller = Context.current().withCancellation();
    CompletableFuture<HttpResponse<String>> response = caller.call(this::sent);
    held.take();

    caller.cancel(null);

    assertThat(response).isCancelled();
    assertThatExceptionOfType(CancellationException.class).isThrownBy(response::join);
  }

  @Test
  void tokensAreNotSentInPlaintextOrToRedirects() {
    TokendHttpClient strict = new TokendHttpClient(http, source);
    HttpClient follower = HttpClient.newBuilder().followRedirects(HttpClient.Redirect.NORMAL).build();

    assertThatIllegalArgumentException()
        .isThrownBy(() -> strict.sendAsync(request().build(), BodyHandlers.discarding()));
    assertThatIllegalArgumentException().isThrownBy(() -> new TokendHttpClient(follower, source));
    assertThat(calls.count()).isZero();
  }
}
