package tokend.aws;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;

/** A fake STS on the loopback with only AssumeRoleWithWebIdentity, in the Query protocol over HTTP. */
final class FakeSts implements AutoCloseable {
  /** The parameters of each request, in order. */
  final List<Map<String, String>> requests = new CopyOnWriteArrayList<>();

  /** The error codes of rejected tokens, by token. */
  final Map<String, String> rejected = new ConcurrentHashMap<>();

  private final Duration life;
  private final HttpServer server;

  FakeSts(Duration life) {
    this.life = life;
    try {
      server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    server.createContext("/", this::answer);
    server.start();
  }

  URI uri() {
    return URI.create("http://127.0.0.1:" + server.getAddress().getPort());
  }

  List<String> tokens() {
    return requests.stream().map(request -> request.get("WebIdentityToken")).toList();
  }

  private void answer(HttpExchange exchange) throws IOException {
    Map<String, String> parameters =
        parameters(new String(exchange.getRequestBody().readAllBytes(), StandardCharsets.UTF_8));
    requests.add(parameters);
    String code = rejected.get(parameters.get("WebIdentityToken"));
    byte[] body = (code == null ? credentials() : error(code)).getBytes(StandardCharsets.UTF_8);
    exchange.sendResponseHeaders(code == null ? 200 : 400, body.length);
    exchange.getResponseBody().write(body);
    exchange.close();
  }

  private String credentials() {
    return """
        <AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
          <AssumeRoleWithWebIdentityResult>
            <Credentials>
              <AccessKeyId>ASIA%d</AccessKeyId>
              <SecretAccessKey>secret</SecretAccessKey>
              <SessionToken>session</SessionToken>
              <Expiration>%s</Expiration>
            </Credentials>
            <AssumedRoleUser>
              <Arn>arn:aws:sts::123456789012:assumed-role/billing/service-a</Arn>
              <AssumedRoleId>AROA:service-a</AssumedRoleId>
            </AssumedRoleUser>
          </AssumeRoleWithWebIdentityResult>
        </AssumeRoleWithWebIdentityResponse>
        """
        .formatted(requests.size(), Instant.now().plus(life).truncatedTo(ChronoUnit.SECONDS));
  }

  private static String error(String code) {
    return """
        <ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
          <Error><Type>Sender</Type><Code>%s</Code><Message>no</Message></Error>
          <RequestId>1</RequestId>
        </ErrorResponse>
        """
        .formatted(code);
  }

  private static Map<String, String> parameters(String form) {
    Map<String, String> parameters = new HashMap<>();
    for (String pair : form.split("&", -1)) {
      String[] parts = pair.split("=", 2);
      parameters.put(parts[0], URLDecoder.decode(parts[1], StandardCharsets.UTF_8));
    }
    return parameters;
  }

  @Override
  public void close() {
    server.stop(0);
  }
}
