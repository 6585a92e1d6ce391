package example;

import com.google.gson.Gson;
import io.grpc.EquivalentAddressGroup;
import io.grpc.NameResolver;
import io.grpc.NameResolverProvider;
import io.grpc.NameResolverRegistry;
import io.grpc.StatusOr;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetSocketAddress;
import java.net.URI;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import tokend.client.CachedTokenSource;
import tokend.client.Client;
import tokend.client.Token;
import tokend.client.TokenCache;
import tokend.client.TokenRequest;
import tokend.client.TokendException;

/**
 * Simulates a service that continually needs tokens of many users.
 *
 * <pre>Consumer HOST:PORT,HOST:PORT IDENTITY_POOL_ID DEVELOPER_PROVIDER_NAME CALLERS TOKEN_SECONDS</pre>
 *
 * It prints "ready" when each caller has got a token, and runs until its standard input ends. Then it prints as JSON
 * the number of requests, the time and code of each failure, and the number of tokens that had already expired.
 */
final class Consumer {
  private static final Duration TIMEOUT = Duration.ofSeconds(1);
  private static final long PAUSE_MILLIS = 50;

  /** A failed request: its time, in seconds since the Unix epoch, and its status code. */
  record Failure(double at, String code) {}

  /** The results of all requests. */
  record Report(long asks, long expired, List<Failure> failures) {}

  private final List<Failure> failures = new ArrayList<>();
  private long asks;
  private long expired;

  public static void main(String[] arguments) throws IOException, InterruptedException {
    NameResolverRegistry.getDefaultRegistry().register(new Replicas());
    Consumer consumer = new Consumer();
    // If replicas share a DNS name, Client.builder("dns:///tokend:50051") finds them.
    try (Client client = Client.builder("replicas:///" + arguments[0]).plaintext().build();
        TokenCache cache = client.tokenCache()) {
      consumer.run(
          cache, arguments[1], arguments[2], Integer.parseInt(arguments[3]), Long.parseLong(arguments[4]));
    }
    System.out.println(new Gson().toJson(consumer.report()));
  }

  private void run(TokenCache cache, String pool, String provider, int callers, long tokenSeconds)
      throws IOException, InterruptedException {
    CountDownLatch ready = new CountDownLatch(callers);
    CountDownLatch ended = new CountDownLatch(1);
    List<Thread> threads = new ArrayList<>();
    for (int number = 0; number < callers; number++) {
      TokenRequest user =
          TokenRequest.builder(pool)
              .login(provider, "caller-" + number)
              .tokenDuration(Duration.ofSeconds(tokenSeconds))
              .build();
      Thread caller = new Thread(() -> call(cache.source(user), ready, ended));
      caller.start();
      threads.add(caller);
    }
    ready.await();
    System.out.println("ready");
    System.in.transferTo(OutputStream.nullOutputStream());
    ended.countDown();
    for (Thread caller : threads) {
      caller.join();
    }
  }

  private void call(CachedTokenSource source, CountDownLatch ready, CountDownLatch ended) {
    boolean isReady = false;
    try {
      while (!ended.await(PAUSE_MILLIS, TimeUnit.MILLISECONDS)) {
        if (ask(source) && !isReady) {
          isReady = true;
          ready.countDown();
        }
      }
    } catch (InterruptedException stopped) {
      Thread.currentThread().interrupt();
    }
  }

  private boolean ask(CachedTokenSource source) {
    try {
      Token token = source.token(TIMEOUT);
      note(token, null);
      return true;
    } catch (TokendException failed) {
      note(null, failed);
      return false;
    }
  }

  private synchronized void note(Token token, TokendException failed) {
    Instant now = Instant.now();
    asks++;
    if (failed != null) {
      failures.add(new Failure(now.toEpochMilli() / 1000.0, failed.code().name()));
    } else if (!token.expireTime().isAfter(now)) {
      expired++;
    }
  }

  private synchronized Report report() {
    return new Report(asks, expired, List.copyOf(failures));
  }

  /** Resolves {@code replicas:///HOST:PORT,HOST:PORT} to these addresses. */
  private static final class Replicas extends NameResolverProvider {
    @Override
    protected boolean isAvailable() {
      return true;
    }

    @Override
    protected int priority() {
      return 5;
    }

    @Override
    public String getDefaultScheme() {
      return "replicas";
    }

    @Override
    public NameResolver newNameResolver(URI target, NameResolver.Args args) {
      List<EquivalentAddressGroup> addresses =
          Arrays.stream(target.getPath().substring(1).split(","))
              .map(address -> URI.create("tcp://" + address))
              .map(uri -> new EquivalentAddressGroup(new InetSocketAddress(uri.getHost(), uri.getPort())))
              .toList();
      return new NameResolver() {
        @Override
        public String getServiceAuthority() {
          return "localhost";
        }

        @Override
        public void start(Listener2 listener) {
          listener.onResult2(
              ResolutionResult.newBuilder().setAddressesOrError(StatusOr.fromValue(addresses)).build());
        }

        @Override
        public void shutdown() {}
      };
    }
  }

  private Consumer() {}
}
