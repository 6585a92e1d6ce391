package tokend.client;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.Message;
import com.google.protobuf.Timestamp;
import io.grpc.Attributes;
import io.grpc.CallOptions;
import io.grpc.Deadline;
import io.grpc.EquivalentAddressGroup;
import io.grpc.Grpc;
import io.grpc.InsecureServerCredentials;
import io.grpc.LoadBalancer;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.NameResolver;
import io.grpc.NameResolverProvider;
import io.grpc.NameResolverRegistry;
import io.grpc.Server;
import io.grpc.StatusOr;
import io.grpc.protobuf.services.HealthStatusManager;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.URI;
import java.time.Duration;
import java.util.HashSet;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import tokend.v1.DeveloperIdentityServiceGrpc;
import tokend.v1.GetOpenIdTokenForDeveloperIdentityResponse;

class SpreadingRoundRobinTest {
  private static final int CALLS = 32;
  private static final GetOpenIdTokenForDeveloperIdentityResponse TOKEN =
      GetOpenIdTokenForDeveloperIdentityResponse.newBuilder()
          .setExpireTime(Timestamp.newBuilder().setSeconds(900))
          .build();

  private final ScriptedService hung = new ScriptedService();
  private final ScriptedService good = new ScriptedService();
  private final List<Server> servers = List.of(serve(hung), serve(good));
  private final Both resolver = new Both();

  @BeforeEach
  void register() {
    NameResolverRegistry.getDefaultRegistry().register(resolver);
  }

  @AfterEach
  void stop() throws InterruptedException {
    NameResolverRegistry.getDefaultRegistry().deregister(resolver);
    for (Server server : servers) {
      server.shutdownNow().awaitTermination();
    }
  }

  private static Server serve(ScriptedService service) {
    try {
      return ScriptedServer.with(
              Grpc.newServerBuilderForPort(0, InsecureServerCredentials.create()), service, new HealthStatusManager())
          .build()
          .start();
    } catch (IOException e) {
      throw new AssertionError(e);
    }
  }

  /** Resolves any name to both servers. */
  private final class Both extends NameResolverProvider {
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
      return "both";
    }

    @Override
    public NameResolver newNameResolver(URI target, NameResolver.Args args) {
      List<EquivalentAddressGroup> addresses =
          servers.stream()
              .map(server -> new EquivalentAddressGroup(new InetSocketAddress("localhost", server.getPort())))
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

  @Test
  void noConcurrentCallUsesHungServerTwice() throws Exception {
    try (Client client =
        Client.builder("both:///").plaintext().deadline(Duration.ofSeconds(10)).build()) {
      // Until both connections are ready.
      while (hung.requests.isEmpty() || good.requests.isEmpty()) {
        hung.then(TOKEN);
        good.then(TOKEN);
        client.getOpenIdTokenForDeveloperIdentity(TokenRequest.of("pool", "provider", "first"));
      }
      hung.requests.clear();
      good.requests.clear();
      hung.hold();
      for (int call = 0; call < CALLS; call++) {
        good.then(TOKEN);
      }
      List<CompletableFuture<Token>> answers =
          IntStream.range(0, CALLS)
              .mapToObj(number -> TokenRequest.of("pool", "provider", "user-" + number))
              .map(client::getOpenIdTokenForDeveloperIdentityAsync)
              .toList();

      for (CompletableFuture<Token> answer : answers) {
        assertThat(answer.get(ScriptedServer.TIMEOUT.toSeconds(), TimeUnit.SECONDS)).isNotNull();
      }
    }
    List<Message> hungRequests = hung.requests;
    assertThat(hungRequests).isNotEmpty();
    assertThat(new HashSet<>(hungRequests)).hasSameSizeAs(hungRequests);
    assertThat(good.requests).hasSize(CALLS);
  }

  /** A connection that can only be picked. */
  private static final class Connection extends LoadBalancer.Subchannel {
    @Override
    public void shutdown() {}

    @Override
    public void requestConnection() {}

    @Override
    public Attributes getAttributes() {
      return Attributes.EMPTY;
    }
  }

  private record Attempt(CallOptions options) {
    LoadBalancer.PickSubchannelArgs args() {
      return new LoadBalancer.PickSubchannelArgs() {
        @Override
        public CallOptions getCallOptions() {
          return options;
        }

        @Override
        public Metadata getHeaders() {
          return new Metadata();
        }

        @Override
        public MethodDescriptor<?, ?> getMethodDescriptor() {
          return DeveloperIdentityServiceGrpc.getLookupDeveloperIdentityMethod();
        }
      };
    }
  }

  @Test
  void expiredAttemptUsesNoConnection() {
    long[] nanoTime = {0};
    Deadline.Ticker ticker =
        new Deadline.Ticker() {
          @Override
          public long nanoTime() {
            return nanoTime[0];
          }
        };
    Connection hung = new Connection();
    Connection good = new Connection();
    Iterator<Connection> inTurn = List.of(hung, good, hung, good).iterator();
    LoadBalancer.SubchannelPicker picker =
        new SpreadingRoundRobin.SpreadingPicker(
            new LoadBalancer.SubchannelPicker() {
              @Override
              public LoadBalancer.PickResult pickSubchannel(LoadBalancer.PickSubchannelArgs args) {
                return LoadBalancer.PickResult.withSubchannel(inTurn.next());
              }
            });
    CallOptions call = SpreadingRoundRobin.forOneCall(CallOptions.DEFAULT);
    Attempt first = new Attempt(call.withDeadline(Deadline.after(5, TimeUnit.SECONDS, ticker)));
    Attempt second = new Attempt(call.withDeadline(Deadline.after(10, TimeUnit.SECONDS, ticker)));

    assertThat(picker.pickSubchannel(first.args()).getSubchannel()).isSameAs(hung);
    nanoTime[0] = TimeUnit.SECONDS.toNanos(5);
    picker.pickSubchannel(first.args());
    assertThat(picker.pickSubchannel(second.args()).getSubchannel()).isSameAs(good);
  }
}
