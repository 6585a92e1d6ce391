package example.spring;

import com.google.gson.Gson;
import com.google.gson.reflect.TypeToken;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import java.util.Objects;
import tokend.client.testing.FakeTokendServer;
import tokend.spring.ClientBuilderCustomizer;

/**
 * The server of the environment, as for the conformance cases, or else a fake one.
 *
 * @param properties the properties with which the application connects to it
 * @param customizer connects the application's client to it
 * @param stop runs at the end
 */
record Tokend(Map<String, Object> properties, ClientBuilderCustomizer customizer, Runnable stop)
    implements AutoCloseable {

  static Tokend find() throws IOException {
    return System.getenv("TOKEND_ENDPOINT") == null && !"true".equals(System.getenv("CI")) ? fake() : real();
  }

  private static Tokend real() {
    Map<String, String> variables =
        new Gson().fromJson(variable("TOKEND_VARIABLES"), new TypeToken<Map<String, String>>() {}.getType());
    Map<String, Object> properties =
        properties(
            Objects.requireNonNull(variables.get("pool_rs512")),
            Objects.requireNonNull(variables.get("developer_provider_name")),
            variable("TOKEND_ISSUER"));
    properties.put("tokend.target", variable("TOKEND_ENDPOINT"));
    return new Tokend(properties, builder -> {}, () -> {});
  }

  private static String variable(String name) {
    return Objects.requireNonNull(System.getenv(name), name + " has to be set");
  }

  private static Tokend fake() throws IOException {
    FakeTokendServer server = FakeTokendServer.start();
    HttpServer keys = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    keys.createContext(
        "/",
        exchange -> {
          byte[] set = server.jwks().getBytes(StandardCharsets.UTF_8);
          exchange.sendResponseHeaders(200, set.length);
          exchange.getResponseBody().write(set);
          exchange.close();
        });
    keys.start();
    Map<String, Object> properties =
        properties(
            FakeTokendServer.IDENTITY_POOL_ID, FakeTokendServer.DEVELOPER_PROVIDER_NAME, FakeTokendServer.ISSUER);
    properties.put("tokend.target", "fake");
    properties.put("tokend.verifier.keys-at", "http://127.0.0.1:" + keys.getAddress().getPort() + "/");
    return new Tokend(
        properties,
        builder -> builder.transport(server.transport()),
        () -> {
          keys.stop(0);
          server.close();
        });
  }

  private static Map<String, Object> properties(String pool, String provider, String issuer) {
    Map<String, Object> properties = new HashMap<>();
    properties.put("tokend.plaintext", true);
    // Machines that run tests may be slow.
    properties.put("tokend.deadline", "60s");
    properties.put("tokend.cache.refresh-timeout", "60s");
    properties.put("tokend.token.pool", pool);
    properties.put("tokend.token.provider", provider);
    properties.put("tokend.token.user", "orders");
    properties.put("tokend.verifier.issuer", issuer);
    properties.put("tokend.verifier.audiences", pool);
    return properties;
  }

  @Override
  public void close() {
    stop.run();
  }
}
