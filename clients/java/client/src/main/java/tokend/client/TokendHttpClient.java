package tokend.client;

import io.grpc.Context;
import io.grpc.Contexts;
import io.grpc.Status;
import java.io.IOException;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodySubscribers;
import java.net.http.HttpTimeoutException;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Attaches the token of a source to the requests of a {@link HttpClient}, as {@code Authorization: Bearer}, and retries
 * a request once with a new token when the called service responds with 401. The rejected token is dropped from its
 * source.
 *
 * <p>The timeout of the request, and the deadline of the caller's gRPC context, cover the wait for a token and both
 * attempts. Without a token, requests fail with the {@link TokendException} of the refresh. The body publisher must
 * support more than one subscription, as those of {@link HttpRequest.BodyPublishers} do. Thread-safe.
 */
public final class TokendHttpClient {
  private static final int UNAUTHORIZED = 401;
  private static final String AUTHORIZATION = "Authorization";

  private final HttpClient client;
  private final TokenSource source;
  private final boolean plaintextAllowed;

  /**
   * Creates a client from an HTTP client and a source.
   *
   * @param client sends the requests; the caller remains responsible for closing it
   * @param source the source; the caller remains responsible for closing it
   * @throws IllegalArgumentException if the client follows redirects, which would send the token to any host
   */
  public TokendHttpClient(HttpClient client, TokenSource source) {
    this(Objects.requireNonNull(client, "client"), Objects.requireNonNull(source, "source"), false);
  }

  private TokendHttpClient(HttpClient client, TokenSource source, boolean plaintextAllowed) {
    if (client.followRedirects() != HttpClient.Redirect.NEVER) {
      throw new IllegalArgumentException("the client must not follow redirects: they would send tokens to any host");
    }
    this.client = client;
    this.source = source;
    this.plaintextAllowed = plaintextAllowed;
  }

  /**
   * Returns a client that also sends tokens over connections without TLS: for the loopback, and for a sidecar that adds
   * TLS.
   *
   * @return a client with the same source
   */
  public TokendHttpClient allowingPlaintext() {
    return new TokendHttpClient(client, source, true);
  }

  /**
   * Sends a request, and waits for the response.
   *
   * @param <T> the type of the body
   * @param request the request; its {@code Authorization} header is replaced
   * @param handler handles the body of the returned response
   * @return the response, of the second attempt if there was one
   * @throws TokendException when there is no token
   * @throws HttpTimeoutException when the timeout of the request, or the deadline of the caller's gRPC context, has
   *     passed
   * @throws IOException when the request fails
   * @throws InterruptedException when the thread is interrupted, which cancels the request
   * @throws IllegalArgumentException when the request would send the token without TLS
   */
  public <T> HttpResponse<T> send(HttpRequest request, HttpResponse.BodyHandler<T> handler)
      throws IOException, InterruptedException {
    CompletableFuture<HttpResponse<T>> response = sendAsync(request, handler);
    try {
      return response.get();
    } catch (ExecutionException e) {
      throw failure(e);
    } finally {
      response.cancel(true);
    }
  }

  /**
   * Sends a request. Never blocks.
   *
   * @param <T> the type of the body
   * @param request the request; its {@code Authorization} header is replaced
   * @param handler handles the body of the returned response
   * @return a future of the response, or of the exceptions of {@link #send}; cancelling it cancels the request
   * @throws IllegalArgumentException when the request would send the token without TLS
   */
  public <T> CompletableFuture<HttpResponse<T>> sendAsync(HttpRequest request, HttpResponse.BodyHandler<T> handler) {
    Objects.requireNonNull(handler, "handler");
    if (!plaintextAllowed && !"https".equalsIgnoreCase(request.uri().getScheme())) {
      throw new IllegalArgumentException("tokens are not sent over a connection without TLS");
    }
    Exchange<T> exchange = new Exchange<>(request, handler);
    exchange.start();
    return exchange.result;
  }

  private static RuntimeException failure(ExecutionException e) throws IOException {
    Throwable cause = e.getCause();
    if (cause instanceof IOException broken) {
      throw broken;
    }
    if (cause instanceof TokendException known) {
      return known.copy();
    }
    return cause instanceof RuntimeException mistake ? mistake : new CompletionException(cause);
  }

  /** A request with its one or two attempts. Completion of the result cancels a running attempt. */
  private final class Exchange<T> {
    final CompletableFuture<HttpResponse<T>> result = new CompletableFuture<>();

    private final HttpRequest request;
    private final HttpResponse.BodyHandler<T> handler;
    private final Context caller = Context.current();
    private volatile @Nullable CompletableFuture<?> current;

    Exchange(HttpRequest request, HttpResponse.BodyHandler<T> handler) {
      this.request = request;
      this.handler = handler;
    }

    void start() {
      Context.CancellationListener listener = this::onCallerCancelled;
      caller.addListener(listener, Runnable::run);
      CompletableFuture<@Nullable Void> timer = new CompletableFuture<>();
      request.timeout().ifPresent(timeout -> timer.orTimeout(TimeUnit.NANOSECONDS.convert(timeout), TimeUnit.NANOSECONDS));
      timer.whenComplete((nothing, timeout) -> timeOutIf(timeout != null, "the request timed out"));
      result.whenComplete(
          (response, failure) -> {
            caller.removeListener(listener);
            timer.complete(null);
            cancelCurrent();
          });
      token(this::sendFirst);
    }

    private void sendFirst(Token token) {
      HttpResponse.BodyHandler<T> unlessRejected =
          answer -> answer.statusCode() == UNAUTHORIZED ? BodySubscribers.replacing(null) : handler.apply(answer);
      attempt(
          token,
          unlessRejected,
          response -> {
            if (response.statusCode() == UNAUTHORIZED) {
              source.invalidate(token);
              token(next -> attempt(next, handler, result::complete));
            } else {
              result.complete(response);
            }
          });
    }

    private void token(Consumer<Token> then) {
      Context previous = caller.attach();
      try {
        run(source.tokenAsync(), then);
      } finally {
        caller.detach(previous);
      }
    }

    private void attempt(
        Token token, HttpResponse.BodyHandler<T> bodyHandler, Consumer<HttpResponse<T>> then) {
      HttpRequest authorized =
          HttpRequest.newBuilder(request, (name, value) -> !name.equalsIgnoreCase(AUTHORIZATION))
              .header(AUTHORIZATION, "Bearer " + token.value())
              .build();
      run(client.sendAsync(authorized, bodyHandler), then);
    }

    private <V> void run(CompletableFuture<V> step, Consumer<V> then) {
      current = step;
      if (result.isDone()) {
        step.cancel(true);
      }
      step.thenAccept(then)
          .whenComplete(
              (nothing, failure) -> {
                if (failure != null) {
                  result.completeExceptionally(failure instanceof CompletionException ? failure.getCause() : failure);
                }
              });
    }

    private void cancelCurrent() {
      CompletableFuture<?> step = current;
      if (step != null) {
        step.cancel(true);
      }
    }

    private void onCallerCancelled(Context context) {
      boolean isTimeout = Contexts.statusFromCancelled(context).getCode() == Status.Code.DEADLINE_EXCEEDED;
      timeOutIf(isTimeout, "the caller's deadline has passed");
      result.cancel(true);
    }

    private void timeOutIf(boolean isTimeout, String text) {
      if (isTimeout) {
        result.completeExceptionally(new HttpTimeoutException(text));
      }
    }
  }
}
