package tokend.verifier;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ForkJoinPool;
import java.util.concurrent.TimeUnit;

/**
 * Fetches a document from a host whose name {@link URI}, and so java.net.http, does not accept, such as a container
 * name with an underscore. The caller waits no longer than for other hosts; the JDK itself may continue to read the
 * rest of an abandoned body, 512 KiB at most.
 */
final class UnderscoreHost {
  private static final int BUFFER_SIZE = 8192;

  private UnderscoreHost() {}

  static String get(URI from, Duration timeout, int maxBytes) throws IOException {
    if (!(from.toURL().openConnection() instanceof HttpURLConnection connection)) {
      throw new IOException(from + " is not an https or http URL");
    }
    int millis = (int) timeout.toMillis();
    connection.setConnectTimeout(millis);
    connection.setReadTimeout(millis);
    CompletableFuture<String> answer = new CompletableFuture<>();
    Thread reading = new Thread(() -> read(connection, maxBytes, answer), "tokend-verifier-keys");
    reading.setDaemon(true);
    reading.start();
    try {
      return answer.orTimeout(millis, TimeUnit.MILLISECONDS).join();
    } catch (CompletionException e) {
      throw new IOException(from + " does not respond: " + e.getCause(), e);
    } finally {
      // Cancels a wait for the headers; may itself wait for a read of the body.
      ForkJoinPool.commonPool().execute(connection::disconnect);
    }
  }

  private static void read(HttpURLConnection connection, int maxBytes, CompletableFuture<String> answer) {
    try {
      if (connection.getResponseCode() / 100 != 2) {
        throw new IOException("it responds with status " + connection.getResponseCode());
      }
      ByteArrayOutputStream octets = new ByteArrayOutputStream();
      byte[] some = new byte[BUFFER_SIZE];
      InputStream body = connection.getInputStream();
      for (int count = body.read(some); count >= 0 && !answer.isDone(); count = body.read(some)) {
        octets.write(some, 0, count);
        if (octets.size() > maxBytes) {
          throw new IOException("the response is too long");
        }
      }
      answer.complete(octets.toString(StandardCharsets.UTF_8));
    } catch (IOException | RuntimeException e) {
      answer.completeExceptionally(e);
    } finally {
      connection.disconnect();
    }
  }
}
