package tokend.client.testing;

import com.nimbusds.jose.JWSAlgorithm;
import io.grpc.ChannelCredentials;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Server;
import io.grpc.health.v1.HealthCheckResponse.ServingStatus;
import io.grpc.inprocess.InProcessChannelBuilder;
import io.grpc.inprocess.InProcessServerBuilder;
import io.grpc.protobuf.services.HealthStatusManager;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.time.Duration;
import java.time.InstantSource;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.BiFunction;
import tokend.client.Client;
import tokend.client.ClientBuilder;
import tokend.v1.DeveloperIdentityServiceGrpc;

/**
 * A fake tokend service that runs in the process of a test. It registers, retrieves, looks up, merges and unlinks
 * identities, signs real tokens, and fails or hangs as a test configures it. It opens no port except for {@link
 * #serveIssuer()}, stores nothing, and supports one pool and developer users only: logins of public providers are
 * rejected. The servers of a process sign with the same RSA keys, since key generation is slow; each server has its own
 * ES256 key.
 */
public final class FakeTokendServer implements AutoCloseable {
  /** The identity pool. */
  public static final String IDENTITY_POOL_ID = "local:2f4c9a6e-0b1d-4c7e-9f00-6a1e7a5d3b21";

  /** The pool's developer provider. */
  public static final String DEVELOPER_PROVIDER_NAME = "login.example.internal";

  /** The {@code iss} of the tokens before {@link #serveIssuer()}. No server listens there. */
  public static final String ISSUER = "https://tokend.example.internal";

  private final String name = UUID.randomUUID().toString();
  private final FakeIssuer issuer;
  private final FakeFailures failures = new FakeFailures();
  private final List<Client> clients = new CopyOnWriteArrayList<>();
  private final Server server;

  private FakeTokendServer(InstantSource clock, JWSAlgorithm algorithm) {
    issuer = new FakeIssuer(algorithm);
    HealthStatusManager health = new HealthStatusManager();
    health.setStatus(DeveloperIdentityServiceGrpc.SERVICE_NAME, ServingStatus.SERVING);
    server =
        InProcessServerBuilder.forName(name)
            .addService(new FakeService(issuer, clock))
            .addService(health.getHealthService())
            .intercept(failures)
            .build();
  }

  /**
   * Starts a server.
   *
   * @return the server, to be closed
   */
  public static FakeTokendServer start() {
    return start(InstantSource.system());
  }

  /**
   * Starts a server with a clock for the times of tokens.
   *
   * @param clock the clock
   * @return the server, to be closed
   */
  public static FakeTokendServer start(InstantSource clock) {
    return start(clock, JWSAlgorithm.RS512);
  }

  /**
   * Starts a server with another signature algorithm than tokend's default.
   *
   * @param clock the clock for the times of tokens
   * @param algorithm {@code RS512}, {@code RS256} or {@code ES256}
   * @return the server, to be closed
   */
  public static FakeTokendServer start(InstantSource clock, JWSAlgorithm algorithm) {
    FakeTokendServer started = new FakeTokendServer(clock, algorithm);
    try {
      started.server.start();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return started;
  }

  /**
   * Creates a client of the server. Its deadline is one minute, since machines that run tests may be slow.
   *
   * @return the client, which the server closes
   */
  public Client client() {
    Client client = clientBuilder().deadline(Duration.ofMinutes(1)).build();
    clients.add(client);
    return client;
  }

  /**
   * Returns a builder of a client of the server, for other settings.
   *
   * @return the builder; the caller must close the client
   */
  public ClientBuilder clientBuilder() {
    return Client.builder(name).transport(transport());
  }

  /**
   * Returns a transport that connects to the server regardless of the client's target: for {@link
   * ClientBuilder#transport} if other code creates the builder, such as the Spring Boot starter.
   *
   * @return the transport
   */
  public BiFunction<String, ChannelCredentials, ManagedChannelBuilder<?>> transport() {
    return (target, credentials) -> InProcessChannelBuilder.forName(name);
  }

  /**
   * Makes all calls fail until {@link #recover()}. The client retries calls that fail with UNAVAILABLE.
   *
   * @param failure how they fail
   */
  public void fail(Failure failure) {
    failures.fail(failure);
  }

  /**
   * Makes one call fail: the next one without a failure from an earlier call of this method.
   *
   * @param failure how it fails
   */
  public void failNext(Failure failure) {
    failures.failNext(failure);
  }

  /** Cancels {@link #fail} and {@link #failNext}. */
  public void recover() {
    failures.recover();
  }

  /**
   * Returns how many calls the server has received, including failed calls and retries.
   *
   * @param operation the name of the operation in the contract, such as {@code LookupDeveloperIdentity}
   * @return how many
   */
  public int calls(String operation) {
    return failures.calls(operation);
  }

  /**
   * Waits until the server has received a number of calls.
   *
   * @param operation the name of the operation in the contract
   * @param count the number of calls since the server's start
   * @param timeout the maximum time to wait
   * @throws InterruptedException if the thread is interrupted
   * @throws AssertionError if the calls do not arrive in time
   */
  public void waitForCalls(String operation, int count, Duration timeout) throws InterruptedException {
    failures.waitForCalls(operation, count, timeout);
  }

  /** Makes calls wait until {@link #resume()}. */
  public void pause() {
    failures.pause();
  }

  /** Ends {@link #pause()}: waiting calls continue. */
  public void resume() {
    failures.resume();
  }

  /**
   * Serves the issuer's discovery document and keys on the loopback, for verifiers.
   *
   * @return the URL, which is the {@code iss} of tokens from then on
   */
  public String serveIssuer() {
    return issuer.serve();
  }

  /** Makes the server sign with a new key. Earlier keys stay published. */
  public void rotateKey() {
    issuer.rotateKey();
  }

  /**
   * Returns the public keys.
   *
   * @return a JWK set (RFC 7517) in JSON
   */
  public String jwks() {
    return issuer.jwks();
  }

  /** Stops the server and closes the clients that it created. */
  @Override
  public void close() {
    clients.forEach(Client::close);
    failures.close();
    server.shutdownNow();
    issuer.close();
  }
}
