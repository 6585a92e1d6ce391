package tokend.verifier;

import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.Supplier;

/** Serves pages over HTTP, and records the requested paths. */
final class Pages implements AutoCloseable {
  final List<String> requests = new CopyOnWriteArrayList<>();

  private final HttpServer server;

  Pages(Map<String, Supplier<String>> pages) {
    try {
      server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    pages.forEach(
        (path, page) ->
            server.createContext(
                path,
                exchange -> {
                  requests.add(exchange.getRequestURI().getPath());
                  byte[] answer = page.get().getBytes(StandardCharsets.UTF_8);
                  exchange.sendResponseHeaders(200, answer.length);
                  exchange.getResponseBody().write(answer);
                  exchange.close();
                }));
    server.start();
  }

  URI at(String path) {
    return at("127.0.0.1", path);
  }

  URI at(String host, String path) {
    return URI.create("http://" + host + ":" + server.getAddress().getPort() + path);
  }

  @Override
  public void close() {
    server.stop(0);
  }
}
