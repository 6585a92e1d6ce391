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
import org.junit.jupiter.params.provider.ValueSource;

class WholeAnswersTest {
  private static final Duration LONG = Duration.ofSeconds(30);

  /** A server whose answer never ends, since it sends octet by octet, until whoever asked is gone. */
  private static final class Dripping implements AutoCloseable {
    final ServerSocket listening = new ServerSocket(0, 1, InetAddress.getLoopbackAddress());
    final CompletableFuture<Void> givenUp;

    Dripping(String head) throws IOException {
      givenUp =
          CompletableFuture.runAsync(
              () -> {
                try (Socket connection = listening.accept()) {
                  connection.getOutputStream().write(head.getBytes(StandardCharsets.US_ASCII));
                  while (true) {
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

    URI url() {
      return URI.create("http://127.0.0.1:" + listening.getLocalPort() + "/");
    }

    @Override
    public void close() throws IOException {
      listening.close();
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"HTTP/1.1 200 OK\r\nx: ", "HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n"})
  @Timeout(30)
  void anAnswerThatDoesNotEndIsGivenUp(String head) throws Exception {
    try (Dripping issuer = new Dripping(head)) {
      WholeAnswers answers = new WholeAnswers(Duration.ofMillis(300), 1 << 20);

      assertThatExceptionOfType(IOException.class)
          .isThrownBy(() -> answers.get(issuer.url()))
          .withRootCauseInstanceOf(TimeoutException.class);
      issuer.givenUp.get();
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {9, 10, 11})
  void anAnswerHasALimit(int most) throws Exception {
    try (Pages pages = new Pages(Map.of("/ten", () -> "0123456789"))) {
      WholeAnswers answers = new WholeAnswers(LONG, most);

      if (most < 10) {
        assertThatExceptionOfType(IOException.class)
            .isThrownBy(() -> answers.get(pages.at("/ten")))
            .withMessageContaining("too long");
      } else {
        assertThat(answers.get(pages.at("/ten"))).isEqualTo("0123456789");
      }
    }
  }

  @Test
  void anErrorIsNoAnswer() {
    try (Pages pages = new Pages(Map.of())) {
      assertThatExceptionOfType(IOException.class)
          .isThrownBy(() -> new WholeAnswers(LONG, 100).get(pages.at("/nothing")))
          .withMessageContaining("404");
    }
  }

  @Test
  void whoIsInterruptedGetsTheAnswerStill() throws Exception {
    try (Pages pages = new Pages(Map.of("/x", () -> "x"))) {
      Thread.currentThread().interrupt();
      assertThat(new WholeAnswers(LONG, 100).get(pages.at("/x"))).isEqualTo("x");
      assertThat(Thread.interrupted()).isTrue();
    }
  }
}
