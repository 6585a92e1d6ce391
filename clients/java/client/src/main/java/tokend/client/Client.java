package tokend.client;

import io.grpc.CallOptions;
import io.grpc.ConnectivityState;
import io.grpc.Context;
import io.grpc.ManagedChannel;
import io.grpc.MethodDescriptor;
import java.time.Duration;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import tokend.v1.DeveloperIdentityServiceGrpc;

/**
 * Calls tokend. Each operation has a blocking form and one that returns a future; both fail with a {@link
 * TokendException}. Safe to use by many threads at once; make one for a process, and close it at its end.
 *
 * <p>Calls are balanced over all addresses of the target that are healthy, retried where that is safe, and have a
 * deadline. Nothing is cached here: {@link #tokenSource} and {@link #tokenCache} make what keeps tokens.
 */
public final class Client implements AutoCloseable {
  private final ManagedChannel channel;
  private final Reconnection reconnection;
  private final Refreshes refreshes;
  private final Duration deadline;

  Client(ManagedChannel channel, Duration deadline, Telemetry telemetry) {
    this(channel, Reconnection.of(channel), new Refreshes(telemetry), deadline);
  }

  private Client(ManagedChannel channel, Reconnection reconnection, Refreshes refreshes, Duration deadline) {
    this.channel = channel;
    this.reconnection = reconnection;
    this.refreshes = refreshes;
    this.deadline = ClientBuilder.requirePositive(deadline, "deadline");
  }

  /**
   * Starts a client that speaks TLS and trusts the certificates that the JVM does.
   *
   * @param target where tokend is, as gRPC writes it: {@code HOST:PORT}, {@code dns:///HOST:PORT} or {@code unix:PATH}
   * @return a builder
   */
  public static ClientBuilder builder(String target) {
    return new ClientBuilder(Objects.requireNonNull(target, "target"));
  }

  /**
   * Gives calls another deadline.
   *
   * @param value the deadline; the builder's is the upper bound
   * @return a client on the same connections: closing either closes both
   */
  public Client withDeadline(Duration value) {
    return new Client(channel, reconnection, refreshes, value);
  }

  /**
   * Registers or retrieves the identity of a user, and issues a token for it.
   *
   * @param request names the user
   * @return a new token at every call
   * @throws TokendException when the call fails
   */
  public Token getOpenIdTokenForDeveloperIdentity(TokenRequest request) {
    return await(getOpenIdTokenForDeveloperIdentityAsync(request));
  }

  /**
   * Registers or retrieves the identity of a user, and issues a token for it.
   *
   * @param request names the user
   * @return ends with a new token, or with a {@link TokendException}; cancelling it ends the call
   */
  public CompletableFuture<Token> getOpenIdTokenForDeveloperIdentityAsync(TokenRequest request) {
    return call(
        DeveloperIdentityServiceGrpc.getGetOpenIdTokenForDeveloperIdentityMethod(),
        Conversions.toMessage(Objects.requireNonNull(request, "request")),
        Conversions::toToken);
  }

  /**
   * Finds the identity id of a user, or the users of an identity id.
   *
   * @param request names the user, the identity, or both
   * @return what was found
   * @throws TokendException when the call fails
   */
  public LookupResult lookupDeveloperIdentity(LookupRequest request) {
    return await(lookupDeveloperIdentityAsync(request));
  }

  /**
   * Finds the identity id of a user, or the users of an identity id.
   *
   * @param request names the user, the identity, or both
   * @return ends with what was found, or with a {@link TokendException}; cancelling it ends the call
   */
  public CompletableFuture<LookupResult> lookupDeveloperIdentityAsync(LookupRequest request) {
    return call(
        DeveloperIdentityServiceGrpc.getLookupDeveloperIdentityMethod(),
        Conversions.toMessage(Objects.requireNonNull(request, "request")),
        Conversions::toResult);
  }

  /**
   * Merges two users: all logins of the source user's identity move to the destination user's.
   *
   * @param request names both users
   * @return the identity id that they now share
   * @throws TokendException when the call fails
   */
  public String mergeDeveloperIdentities(MergeRequest request) {
    return await(mergeDeveloperIdentitiesAsync(request));
  }

  /**
   * Merges two users: all logins of the source user's identity move to the destination user's.
   *
   * @param request names both users
   * @return ends with the identity id that they now share, or with a {@link TokendException}; cancelling it ends the call
   */
  public CompletableFuture<String> mergeDeveloperIdentitiesAsync(MergeRequest request) {
    return call(
        DeveloperIdentityServiceGrpc.getMergeDeveloperIdentitiesMethod(),
        Conversions.toMessage(Objects.requireNonNull(request, "request")),
        response -> response.getIdentityId());
  }

  /**
   * Unlinks a user from an identity.
   *
   * @param request names both
   * @throws TokendException when the call fails; a repeated call fails with {@link ErrorReason#RESOURCE_NOT_FOUND}
   */
  public void unlinkDeveloperIdentity(UnlinkRequest request) {
    await(unlinkDeveloperIdentityAsync(request));
  }

  /**
   * Unlinks a user from an identity.
   *
   * @param request names both
   * @return ends when it is done, or with a {@link TokendException}; cancelling it ends the call
   */
  public CompletableFuture<@Nullable Void> unlinkDeveloperIdentityAsync(UnlinkRequest request) {
    return call(
        DeveloperIdentityServiceGrpc.getUnlinkDeveloperIdentityMethod(),
        Conversions.toMessage(Objects.requireNonNull(request, "request")),
        response -> null);
  }

  /**
   * Makes what keeps the token of one user.
   *
   * @param request names the user
   * @return a source, to be closed before this client
   */
  public CachedTokenSource tokenSource(TokenRequest request) {
    return tokenSource(request, CachingPolicy.defaults());
  }

  /**
   * Makes what keeps the token of one user.
   *
   * @param request names the user
   * @param policy how the token is kept
   * @return a source, to be closed before this client
   */
  public CachedTokenSource tokenSource(TokenRequest request, CachingPolicy policy) {
    Objects.requireNonNull(request, "request");
    Client refreshing = withDeadline(Objects.requireNonNull(policy, "policy").refreshTimeout());
    return new CachedTokenSource(request, () -> refreshing.detachedToken(request), policy, refreshes);
  }

  /**
   * Makes what keeps the tokens of many users.
   *
   * @return a cache, to be closed before this client
   */
  public TokenCache tokenCache() {
    return tokenCache(CachingPolicy.defaults(), TokenCache.DEFAULT_MAX_USERS);
  }

  /**
   * Makes what keeps the tokens of many users.
   *
   * @param policy how tokens are kept
   * @param maxUsers how many users it holds, 1 or more
   * @return a cache, to be closed before this client
   */
  public TokenCache tokenCache(CachingPolicy policy, int maxUsers) {
    Objects.requireNonNull(policy, "policy");
    return new TokenCache(request -> tokenSource(request, policy), policy, maxUsers, refreshes.telemetry());
  }

  /**
   * Tells whether tokend can be reached, from what is known: connections watch the health of their replica. It makes no
   * call, but has the client connect where it has not yet.
   *
   * @return READY: one replica or more is healthy; TRANSIENT_FAILURE: none is; IDLE or CONNECTING: not known yet
   */
  public ConnectivityState connectivity() {
    return channel.getState(true);
  }

  /** Ends all calls and connections. */
  @Override
  public void close() {
    channel.shutdownNow();
  }

  /** A call that the deadline and the cancellation of the current gRPC context, the first caller's, do not reach. */
  private CompletableFuture<Token> detachedToken(TokenRequest request) {
    Context caller = Context.ROOT.attach();
    try {
      return getOpenIdTokenForDeveloperIdentityAsync(request);
    } finally {
      Context.ROOT.detach(caller);
    }
  }

  private <Q, R, T> CompletableFuture<T> call(MethodDescriptor<Q, R> method, Q request, Function<R, T> conversion) {
    reconnection.hurry();
    CallOptions options =
        CallOptions.DEFAULT
            .withDeadlineAfter(TimeUnit.NANOSECONDS.convert(deadline), TimeUnit.NANOSECONDS)
            .withStreamTracerFactory(PushbackFilter.INSTANCE);
    return UnaryCall.start(channel, method, options, request, conversion);
  }

  private static <T> T await(CompletableFuture<T> answer) {
    try {
      return Waiting.await(answer);
    } finally {
      answer.cancel(false);
    }
  }
}
