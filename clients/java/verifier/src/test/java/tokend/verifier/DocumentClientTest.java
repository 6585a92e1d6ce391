package tokend.verifier;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.SocketException;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class DocumentClientTest {
  private static final Duration LONG = Duration.ofSeconds(30);

  private static final String HEADERS = "HTTP/1.1 200 OK\r\nx: ";
  private static final String BODY = "HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n";

  /** A host in src/test/hosts, whose name is valid in the JDK's URL, but not in its URI. */
  private static final String ODD_HOST = "tokend_server";

  /** A server with an endless response, sent octet by octet until the client disconnects. */
  private static final class Dripping implements AutoCloseable {
    final ServerSocket listening = new ServerSocket(0, 1, InetAddress.getLoopbackAddress());
    final CompletableFuture<Void> disconnected;

    Dripping(String head) throws IOException {
      disconnected =
          CompletableFuture.runAsync(
              () -> {
                try (Socket connection = listening.accept()) {
                  connection.getOutputStream().write(head.getBytes(StandardCharsets.US_ASCII));
                  while (!listening.isClosed()) {
                    connection.getOutputStream().write(' ');
                    TimeUnit.MILLISECONDS.sleep(20);
                  }
                } catch (SocketException e) {
                  return;
                } catch (IOException | InterruptedException e) {
                  throw new AssertionError(e);
                }
              });
    }

    URI url(String host) {
      return URI.create("http://" + host + ":" + listening.getLocalPort() + "/");
    }

    @Override
    public void close() throws IOException {
      listening.close();
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {HEADERS, BODY})
  @Timeout(30)
  void endlessResponseTimesOut(String head) throws Exception {
    try (Dripping issuer = new Dripping(head)) {
      assertTimesOut(issuer.url("127.0.0.1"));
      issuer.disconnected.get();
    }
  }

  @Test
  @Timeout(30)
  void endlessHeadersOfUnderscoreHostTimeOut() throws Exception {
    try (Dripping issuer = new Dripping(HEADERS)) {
      assertTimesOut(issuer.url(ODD_HOST));
      issuer.disconnected.get();
    }
  }

  @Test
  @Timeout(30)
  void endlessBodyOfUnderscoreHostTimesOut() throws Exception {
    try (Dripping issuer = new Dripping(BODY)) {
      assertTimesOut(issuer.url(ODD_HOST));
    }
  }

  private static void assertTimesOut(URI url) {
    assertThatExceptionOfType(IOException.class)
        .isThrownBy(() -> new DocumentClient(Duration.ofMillis(300), 1 << 20).get(url))
        .withRootCauseInstanceOf(TimeoutException.class);
  }

  @ParameterizedTest
  @CsvSource({
    "127.0.0.1,9", "127.0.0.1,10", "127.0.0.1,11", "tokend_server,9", "tokend_server,10", "tokend_server,11",
  })
  void responseLengthIsLimited(String host, int most) throws Exception {
    try (Pages pages = new Pages(Map.of("/ten", () -> "0123456789"))) {
      DocumentClient answers = new DocumentClient(LONG, most);

      if (most < 10) {
        assertThatExceptionOfType(IOException.class)
            .isThrownBy(() -> answers.get(pages.at(host, "/ten")))
            .withMessageContaining("too long");
      } else {
        assertThat(answers.get(pages.at(host, "/ten"))).isEqualTo("0123456789");
      }
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"127.0.0.1", ODD_HOST})
  void errorStatusIsException(String host) {
    try (Pages pages = new Pages(Map.of())) {
      assertThatExceptionOfType(IOException.class)
          .isThrownBy(() -> new DocumentClient(LONG, 100).get(pages.at(host, "/nothing")))
          .withMessageContaining("404");
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"127.0.0.1", ODD_HOST})
  void interruptedThreadGetsResponse(String host) throws Exception {
    try (Pages pages = new Pages(Map.of("/x", () -> "x"))) {
      Thread.currentThread().interrupt();
      assertThat(new DocumentClient(LONG, 100).get(pages.at(host, "/x"))).isEqualTo("x");
      assertThat(Thread.interrupted()).isTrue();
    }
  }
}
