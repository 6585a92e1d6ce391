package tokend.conformance;

import com.google.gson.Gson;
import com.google.gson.reflect.TypeToken;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Assumptions;
import tokend.client.Client;
import tokend.client.ClientBuilder;

/** The real server and its test environment, from environment variables. */
record Harness(
    Map<String, String> targets, URI conductor, Path cases, String issuer, Map<String, String> variables) {

  /** Reads the environment. Without a server, the test is skipped; in CI, it fails. */
  static Harness find() {
    Map<String, String> environment = System.getenv();
    boolean mustRun = environment.containsKey("TOKEND_CASES") || "true".equals(environment.get("CI"));
    Assumptions.assumeTrue(
        mustRun, "TOKEND_CASES is not set: this test needs the real server, which `uv run poe test` starts");
    return new Harness(
        Map.of(
            "served", variable(environment, "TOKEND_ENDPOINT"),
            "scripted", variable(environment, "TOKEND_SCRIPTED"),
            "replicas", Replicas.SCHEME + ":///" + variable(environment, "TOKEND_REPLICAS")),
        URI.create(variable(environment, "TOKEND_CONDUCTOR")),
        Path.of(variable(environment, "TOKEND_CASES")),
        variable(environment, "TOKEND_ISSUER"),
        new Gson().fromJson(variable(environment, "TOKEND_VARIABLES"), new TypeToken<Map<String, String>>() {}.getType()));
  }

  private static String variable(Map<String, String> environment, String name) {
    String value = environment.get(name);
    if (value == null) {
      throw new AssertionError(name + " has to be set");
    }
    return value;
  }

  /** A client of one of the servers: served, scripted or replicas. */
  ClientBuilder client(String server) {
    String target = targets.get(server);
    if (target == null) {
      throw new AssertionError("no server " + server);
    }
    return Client.builder(target).plaintext();
  }

  /** Sends a command to the conductor, and waits until it is done. */
  void conduct(String path) throws IOException, InterruptedException {
    ask(path, "");
  }

  /** Sends a request to the conductor, and returns its response. */
  String ask(String path, String question) throws IOException, InterruptedException {
    HttpRequest request =
        HttpRequest.newBuilder(conductor.resolve(path)).POST(HttpRequest.BodyPublishers.ofString(question)).build();
    HttpResponse<String> answer =
        HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
    if (answer.statusCode() != 200) {
      throw new AssertionError(path + " answered " + answer.statusCode() + ": " + answer.body());
    }
    return answer.body();
  }
}
