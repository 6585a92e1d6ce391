package tokend.verifier;

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodySubscriber;
import java.net.http.HttpResponse.BodySubscribers;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.Flow;
import java.util.concurrent.TimeUnit;

/**
 * Fetches documents over HTTP with a timeout for the whole response, for servers that send octets one by one. The JDK's
 * own timeouts cover single reads, or end with the headers.
 */
final class DocumentClient {
  private final HttpClient client =
      HttpClient.newBuilder()
          .version(HttpClient.Version.HTTP_1_1)
          .followRedirects(HttpClient.Redirect.NORMAL)
          .build();
  private final Duration timeout;
  private final int maxBytes;

  DocumentClient(Duration timeout, int maxBytes) {
    this.timeout = timeout;
    this.maxBytes = maxBytes;
  }

  String get(URI from) throws IOException {
    if (from.getHost() == null) {
      return UnderscoreHost.get(from, timeout, maxBytes);
    }
    CompletableFuture<HttpResponse<String>> answer =
        client.sendAsync(HttpRequest.newBuilder(from).build(), headers -> new Limited(maxBytes));
    try {
      // An interrupt of a waiting thread is for its own work, not for the keys that all threads share.
      HttpResponse<String> whole = answer.copy().orTimeout(timeout.toMillis(), TimeUnit.MILLISECONDS).join();
      if (whole.statusCode() / 100 != 2) {
        throw new IOException(from + " responds with status " + whole.statusCode());
      }
      return whole.body();
    } catch (CompletionException e) {
      throw new IOException(from + " does not respond: " + e.getCause(), e);
    } finally {
      answer.cancel(true); // complete or abandoned
    }
  }

  private static final class Limited implements BodySubscriber<String> {
    private final BodySubscriber<String> text = BodySubscribers.ofString(StandardCharsets.UTF_8);
    private final CompletableFuture<Flow.Subscription> subscribed = new CompletableFuture<>();
    private long left;

    Limited(long most) {
      left = most;
    }

    @Override
    public void onSubscribe(Flow.Subscription subscription) {
      subscribed.complete(subscription);
      text.onSubscribe(subscription);
    }

    @Override
    public void onNext(List<ByteBuffer> octets) {
      left -= octets.stream().mapToLong(ByteBuffer::remaining).sum();
      if (left >= 0) {
        text.onNext(octets);
      } else {
        subscribed.thenAccept(Flow.Subscription::cancel);
        text.onError(new IOException("the response is too long"));
      }
    }

    @Override
    public void onError(Throwable error) {
      text.onError(error);
    }

    @Override
    public void onComplete() {
      text.onComplete();
    }

    @Override
    public CompletionStage<String> getBody() {
      return text.getBody();
    }
  }
}
