package tokend.client;

import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.Supplier;

/** Token calls that tests complete. */
final class FakeCalls implements Supplier<CompletableFuture<Token>> {
  /** The request of the sources in tests. */
  static final TokenRequest USER = TokenRequest.of("pool", "provider", "alice");

  private final List<CompletableFuture<Token>> started = new CopyOnWriteArrayList<>();
  private final Map<Integer, Runnable> actions = new ConcurrentHashMap<>();

  static Token token(String token, Instant issued, Duration life) {
    return new Token("us-east-1:id", token, issued, issued.plus(life), issued.plus(life.dividedBy(3)));
  }

  @Override
  public CompletableFuture<Token> get() {
    CompletableFuture<Token> call = new CompletableFuture<>();
    started.add(call);
    actions.getOrDefault(started.size(), () -> {}).run();
    return call;
  }

  /** Runs an action as soon as the first, second, … call has started. */
  void onCall(int number, Runnable action) {
    actions.put(number, action);
  }

  int count() {
    return started.size();
  }

  CompletableFuture<Token> last() {
    return started.get(started.size() - 1);
  }
}
