package tokend.verifier;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalStateException;

import jakarta.servlet.AsyncContext;
import jakarta.servlet.DispatcherType;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.logging.Handler;
import java.util.logging.Level;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import org.apache.catalina.Context;
import org.apache.catalina.Wrapper;
import org.apache.catalina.connector.Request;
import org.apache.catalina.startup.Tomcat;
import org.apache.tomcat.util.descriptor.web.FilterDef;
import org.apache.tomcat.util.descriptor.web.FilterMap;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import tokend.client.Token;
import tokend.client.TokenRequest;
import tokend.client.testing.FakeTokendServer;

/** Tests the filter in a Tomcat on the loopback. */
class IdentityFilterTest {
  private static final String CHALLENGE =
      "Bearer error=\"invalid_token\", error_description=\"a valid token is required\"";

  private final FakeTokendServer tokend = FakeTokendServer.start();
  private volatile boolean areKeysServed = true;
  private final Pages pages = new Pages(Map.of("/keys", () -> areKeysServed ? tokend.jwks() : ""));
  private final Tomcat tomcat = new Tomcat();
  private final HttpClient http = HttpClient.newHttpClient();

  /** Responds with the identity of its caller, on the container's thread. */
  private static final class Echo extends HttpServlet {
    private static final long serialVersionUID = 1;

    @Override
    protected void doGet(HttpServletRequest request, HttpServletResponse response) throws IOException {
      response.getWriter().print(IdentityFilter.current(request).identityId());
    }
  }

  /** Responds without using the identity. */
  private static final class Probe extends HttpServlet {
    private static final long serialVersionUID = 1;

    @Override
    protected void doGet(HttpServletRequest request, HttpServletResponse response) throws IOException {
      response.getWriter().print(request.getAttribute(IdentityFilter.ATTRIBUTE));
    }
  }

  /** Reads the identity on another thread, dispatches the request again, and responds with both identities. */
  private static final class Asynchronous extends HttpServlet {
    private static final long serialVersionUID = 1;

    @Override
    protected void doGet(HttpServletRequest request, HttpServletResponse response) throws IOException {
      if (request.getDispatcherType() == DispatcherType.ASYNC) {
        response.getWriter().print(request.getAttribute("seen") + " " + IdentityFilter.current(request).identityId());
        return;
      }
      AsyncContext context = request.startAsync();
      CompletableFuture.runAsync(
          () -> {
            request.setAttribute("seen", IdentityFilter.current(context.getRequest()).identityId());
            context.dispatch();
          });
    }
  }

  @BeforeEach
  void start(@TempDir Path directory) throws Exception {
    tomcat.setBaseDir(directory.toString());
    tomcat.setHostname("127.0.0.1");
    tomcat.setPort(0);
    Context context = tomcat.addContext("/app", null);
    add(context, "echo", new Echo(), "/orders", "/orders/*");
    add(context, "probe", new Probe(), "/healthz");
    add(context, "asynchronous", new Asynchronous(), "/asynchronous");
    TokenVerifier verifier =
        TokenVerifier.builder(FakeTokendServer.ISSUER, FakeTokendServer.IDENTITY_POOL_ID)
            .keysAt(pages.at("/keys"))
            .build();
    filter(context, new IdentityFilter(verifier, "/healthz"));
    tomcat.getConnector();
    tomcat.start();
  }

  private static void add(Context context, String name, HttpServlet servlet, String... paths) {
    Wrapper wrapper = Tomcat.addServlet(context, name, servlet);
    wrapper.setAsyncSupported(true);
    for (String path : paths) {
      wrapper.addMapping(path);
    }
  }

  /** Registers the filter for all dispatcher types, more than most applications use. */
  private static void filter(Context context, IdentityFilter filter) {
    FilterDef definition = new FilterDef();
    definition.setFilterName("identity");
    definition.setFilter(filter);
    definition.setAsyncSupported("true");
    context.addFilterDef(definition);
    FilterMap mapping = new FilterMap();
    mapping.setFilterName("identity");
    mapping.addURLPattern("/*");
    for (DispatcherType type : DispatcherType.values()) {
      mapping.setDispatcher(type.name());
    }
    context.addFilterMap(mapping);
  }

  @AfterEach
  void stop() throws Exception {
    tomcat.stop();
    tomcat.destroy();
    tokend.close();
    pages.close();
  }

  private Token issue() {
    return tokend
        .client()
        .getOpenIdTokenForDeveloperIdentity(
            TokenRequest.of(FakeTokendServer.IDENTITY_POOL_ID, FakeTokendServer.DEVELOPER_PROVIDER_NAME, "alice"));
  }

  private HttpResponse<String> get(String path, String... authorizations) throws Exception {
    HttpRequest.Builder request =
        HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + tomcat.getConnector().getLocalPort() + "/app" + path));
    for (String value : authorizations) {
      request.header("Authorization", value);
    }
    return http.send(request.build(), HttpResponse.BodyHandlers.ofString());
  }

  private void assertUnauthorized(String challenge, String path, String... authorizations) throws Exception {
    HttpResponse<String> response = get(path, authorizations);

    assertThat(response.statusCode()).isEqualTo(401);
    assertThat(response.headers().allValues("WWW-Authenticate")).containsExactly(challenge);
    assertThat(response.body()).isEqualTo("a valid token is required\n");
  }

  @ParameterizedTest
  @ValueSource(strings = {"Bearer ", "bearer "})
  void requestWithValidTokenHasIdentity(String scheme) throws Exception {
    Token token = issue();

    assertThat(get("/orders", scheme + token.value()).body()).isEqualTo(token.identityId());
    assertThat(get("/orders/1", scheme + token.value()).body()).isEqualTo(token.identityId());
  }

  @Test
  void asynchronousRequestKeepsIdentity() throws Exception {
    Token token = issue();

    assertThat(get("/asynchronous", "Bearer " + token.value()).body())
        .isEqualTo(token.identityId() + " " + token.identityId());
    assertUnauthorized("Bearer", "/asynchronous");
  }

  @Test
  void requestWithoutValidTokenIsUnauthorized() throws Exception {
    String token = issue().value();

    assertUnauthorized("Bearer", "/orders");
    assertUnauthorized("Bearer", "/orders", "Basic " + token);
    assertUnauthorized("Bearer", "/orders", "Bearer " + token, "Bearer " + token);
    assertUnauthorized(CHALLENGE, "/orders", "Bearer x" + token);
  }

  @Test
  void openPathRequiresNoToken() throws Exception {
    assertThat(get("/healthz").body()).isEqualTo("null");
    assertThat(get("/healthz", "Bearer nonsense").body()).isEqualTo("null");
    assertUnauthorized("Bearer", "/healthz/../orders");
    assertUnauthorized("Bearer", "/orders/healthz");
    assertUnauthorized("Bearer", "/orders;/healthz");
  }

  @Test
  void withoutKeysRequestsFailWith503() throws Exception {
    String token = issue().value();
    pages.close();

    HttpResponse<String> response = get("/orders", "Bearer " + token);

    assertThat(response.statusCode()).isEqualTo(503);
    assertThat(response.headers().firstValue("Retry-After")).contains("1");
    assertThat(response.headers().firstValue("WWW-Authenticate")).isEmpty();
    assertThat(response.body()).isEqualTo("tokens cannot be verified at the moment\n");
  }

  @Test
  void outageIsLoggedOncePerFetch() throws Exception {
    String token = issue().value();
    areKeysServed = false;
    List<LogRecord> warnings = new CopyOnWriteArrayList<>();
    Handler handler =
        new Handler() {
          @Override
          public void publish(LogRecord entry) {
            if (entry.getLevel().equals(Level.WARNING)) {
              warnings.add(entry);
            }
          }

          @Override
          public void flush() {}

          @Override
          public void close() {}
        };
    Logger logger = Logger.getLogger("tokend.verifier");
    logger.addHandler(handler);
    try {
      for (int i = 0; i < 20; i++) {
        assertThat(get("/orders", "Bearer " + token).statusCode()).isEqualTo(503);
      }
    } finally {
      logger.removeHandler(handler);
    }

    assertThat(warnings).isNotEmpty().hasSameSizeAs(pages.requests);
    assertThat(warnings).allSatisfy(entry -> assertThat(entry.getParameters()).contains(FakeTokendServer.ISSUER));
  }

  @Test
  void requestWithoutVerificationHasNoIdentity() {
    assertThatIllegalStateException()
        .isThrownBy(() -> IdentityFilter.current(new Request(tomcat.getConnector(), new org.apache.coyote.Request())));
  }
}
